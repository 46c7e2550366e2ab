"""Folders of the tests' own, and one run that is kept and read."""

from pathlib import Path

import pytest

import hetlib
from hetlib.training.records import RunRecord
from hetlib_bundle import paths
from tests.bundle.kept.made import SMALL


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where ``results`` and ``recorded`` are for the test."""
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(paths, "RECORDED", tmp_path / "recorded")
    return tmp_path


@pytest.fixture(scope="package")
def virtual() -> RunRecord:
    experiment = hetlib.Experiment(shares=(24, 8), **SMALL)
    platform = hetlib.Platform.emulated([1, 3])
    return hetlib.train(experiment, hetlib.VirtualReplicas(platform))
