"""What the notebooks kept becomes what the clone carries."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hetlib_bundle import paths
from hetlib_bundle.cli import app
from hetlib_bundle.kept.keeper import keeper
from hetlib_bundle.running import publish
from tests.bundle.running.made import write_notebook


def test_publishing_wants_everything_and_not_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = tmp_path / "recorded"
    notebooks = tmp_path / "notebooks"
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(paths, "RECORDED", recorded)
    monkeypatch.setattr(paths, "NOTEBOOKS", notebooks)
    notebooks.mkdir()
    write_notebook(notebooks, "01_a", 'keep("one", f)\nx = keep("two", f)')
    write_notebook(notebooks, "02_b", "keep = keeper(1)")
    write_notebook(notebooks, "07_c", 'keep("x", f)')

    first = keeper("01", "quick", "computed")
    first("one", lambda: "text")
    first("two", lambda: "text")
    done = CliRunner().invoke(app, ["record", "--profile", "quick"])
    assert done.exit_code == 2
    lacking = r"lacks \['07_x.jsonl'\]; run: hetlib reproduce --profile quick --only 07\n"
    assert re.search(lacking, done.output)

    for asked in ((), ("eurosat",), ("wake",)):  # a claim is about the second, none about the third
        keeper("07", "quick", "computed", asked)("x", lambda: 1)
    target = recorded / "quick"
    target.mkdir(parents=True)
    (target / "04_gone.jsonl").touch()
    (target / "09_time.csv").touch()
    assert CliRunner().invoke(app, ["record", "--profile", "quick"]).exit_code == 0
    names = ["01_one.jsonl", "01_two.jsonl", "07_x.jsonl", "09_time.csv"]
    assert sorted(path.name for path in target.iterdir()) == names
    assert [path.name for path in recorded.glob("quick-*/*")] == ["07_x.jsonl"]
    keep = keeper("07", "quick", "recorded", ["eurosat"])
    assert keep("x", lambda: pytest.fail("computed")) == 1

    monkeypatch.setattr(publish, "LIMIT", 500)
    message = r"the records take \d+ bytes, {'quick/01_one.jsonl': \d+, .*allowed are 500"
    with pytest.raises(ValueError, match=message):
        publish.publish("quick")


def test_books_that_grew_are_copied_and_longer_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(paths, "RECORDED", tmp_path / "recorded")
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    made = tmp_path / "results" / "quick" / "many"
    clone = tmp_path / "recorded" / "quick" / "many"
    for folder in (made, clone):
        folder.mkdir(parents=True)
    (made / "new.jsonl").write_text("head\none\n")
    (made / "grown.jsonl").write_text("head\none\ntwo\n")
    (clone / "grown.jsonl").write_text("head\none\n")
    (made / "shorter.jsonl").write_text("head\n")
    (clone / "shorter.jsonl").write_text("head\nother\n")
    copies = publish.publish("quick")
    assert [path.name for path in copies] == ["grown.jsonl", "new.jsonl"]
    assert (clone / "grown.jsonl").read_text() == "head\none\ntwo\n"
    assert (clone / "shorter.jsonl").read_text() == "head\nother\n"
