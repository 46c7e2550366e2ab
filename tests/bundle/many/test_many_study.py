"""What a notebook gets: computed and gone on with, or read from the clone."""

from pathlib import Path

import pytest
import torch

from hetlib_bundle import paths
from hetlib_bundle.studies.many import designs, study
from hetlib_bundle.studies.many.book import Book
from hetlib_bundle.studies.many.designs import Design
from hetlib_bundle.studies.many.work import do_all

SMALL = Design(
    recipes=("made",),
    steps=(4,),
    shares=((12, 4),),
    closely=(),
    seeds=(0, 1),
    search_seeds=(100,),
)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("sklearn")
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(paths, "RECORDED", tmp_path / "recorded")
    monkeypatch.setitem(designs.DESIGNS, "quick", SMALL)
    return tmp_path


def test_computed_and_recorded_are_the_same(folders: Path) -> None:
    threads = torch.get_num_threads()
    made = study.evidence("quick", "computed")
    assert torch.get_num_threads() == threads
    assert made.missing == 0
    assert made.note == ""
    with pytest.raises(FileNotFoundError, match=r'no record in .*; .*source="computed"'):
        study.evidence("quick", "recorded")
    (folders / "recorded").mkdir()
    (folders / "results" / "quick").rename(folders / "recorded" / "quick")
    read = study.evidence("quick", "recorded")
    assert read.runs.equals(made.runs)
    assert read.note.startswith(" Recorded 20")
    assert f"torch {torch.__version__.split('+')[0]}" in read.note


def test_a_work_that_was_stopped_goes_on(folders: Path) -> None:
    """Half of the cells are there: the others are trained, these are not."""
    whole = study.evidence("quick", "computed")
    path = folders / "results" / "quick" / "many" / "made.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: len(lines) // 2]))
    assert 0 < len(Book(path, computing=False)) < len(lines) - 1
    do_all(SMALL, {"made": Book(path, computing=True)})
    again = study.evidence("quick", "computed")
    assert again.runs.equals(whole.runs)
    assert len(path.read_text().splitlines()) == len(lines)


def test_an_unknown_size_is_named(folders: Path) -> None:
    with pytest.raises(ValueError, match="`profile` is 'tiny'; allowed are"):
        study.evidence("tiny", "computed")
