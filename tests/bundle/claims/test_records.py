"""What is called identical, in the records of the clone: no bit differs, in no epoch."""

import pytest

from hetlib_bundle import claims, paths
from hetlib_bundle.kept.lines import read

FOLDERS = ("standard", "standard-eurosat", "standard-brandenburg-smallcnn-24")


@pytest.mark.parametrize("folder", FOLDERS)
def test_balanced_runs_have_the_losses_and_counts_of_one_process(folder: str) -> None:
    runs = read(paths.RECORDED / folder / "07_runs.jsonl").runs
    known = {}
    for run in runs:
        tried = run.experiment
        known[run.data_name, tried["model"], tried["seed"], tried["strategy"]] = run
    balanced = [key for key in known if key[-1] == "balanced"]
    assert len(balanced) >= claims.load()["C4.2"].least
    for key in balanced:
        single = known[(*key[:-1], "single")]
        assert known[key].epochs == single.epochs
        assert known[key].confusion == single.confusion
