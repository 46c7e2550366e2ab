"""A notebook without times leaves the same bytes when it runs again."""

from pathlib import Path

import pytest

from hetlib_bundle.running import runner


def made(results: Path) -> dict[str, bytes]:
    """Return the content of all tables and figures."""
    found = {}
    for kind in ("tables", "figures"):
        for path in (results / "quick" / kind).iterdir():
            found[path.name] = path.read_bytes()
    return found


@pytest.mark.parametrize("number", ["05"])
def test_tables_and_figures_repeat_to_the_byte(number: str, tmp_path: Path) -> None:
    assert runner.reproduce("quick", [number], tmp_path / "first") == 0
    assert runner.reproduce("quick", [number], tmp_path / "second") == 0
    first = made(tmp_path / "first")
    second = made(tmp_path / "second")
    assert {Path(name).suffix for name in first} == {".csv", ".json", ".tex", ".pdf", ".png"}
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
