"""One call opens a notebook: its size, its values, and where its products go."""

from pathlib import Path

import pandas as pd
import pytest

from hetlib_bundle import paths
from hetlib_bundle.profiles import PROFILES
from hetlib_bundle.study import open_study


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    return tmp_path


def test_a_study_has_its_size_and_its_folders(results: Path) -> None:
    study = open_study("07", "quick", "computed", asked=["wake"], shares=[3, 1])
    assert study.profile == "quick"
    assert study.size == PROFILES["quick"]
    assert study.results == results / "quick-wake"
    assert study.store == results / "quick" / "runs"


def test_a_study_keeps_values_and_saves_tables(results: Path) -> None:
    study = open_study("00", "quick", "computed")
    value = study.keep("one", lambda: [1, 2])
    study.save_table(pd.DataFrame({"one": value}), "00_some", caption="Some.")
    assert (results / "quick" / "kept" / "00_one.jsonl").exists()
    assert (results / "quick" / "tables" / "00_some.csv").read_text() == "one\n1\n2\n"


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="`profile` is 'tiny'; allowed are"):
        open_study("00", "tiny")
