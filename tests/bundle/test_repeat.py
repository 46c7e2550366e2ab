"""A notebook without times leaves the same bytes when it runs again."""

from pathlib import Path

import pytest

from hetlib_bundle.running import runner


@pytest.mark.parametrize("number", ["05"])
def test_tables_and_figures_repeat_to_the_byte(number: str, tmp_path: Path) -> None:
    made = []
    for folder in ("first", "second"):
        assert runner.reproduce("quick", [number], tmp_path / folder) == 0
        target = tmp_path / folder / "quick"
        files = [
            path for kind in ("tables", "figures") for path in sorted((target / kind).iterdir())
        ]
        made.append({path.name: path.read_bytes() for path in files})
    first, second = made
    assert {Path(name).suffix for name in first} == {".csv", ".json", ".tex", ".pdf", ".png"}
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
