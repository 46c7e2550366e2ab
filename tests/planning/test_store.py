"""Plans in files."""

import json
import os
from dataclasses import replace

import pytest

from hetlib.planning.link import Link
from hetlib.planning.partition import Partition
from hetlib.planning.speed import SpeedModel
from hetlib.planning.store import PlanFile

PLAN = Partition(
    shares=(12, 4),
    compute=(0.1, 0.09),
    communication=0.01,
    equal_step=0.2,
    alone_step=None,
    reasons=("", ""),
    names=("fast", "slow"),
    times="measured",
    uncertainty=0.02,
    passes=(1, 1),
    models=(SpeedModel((4, 8), (0.05, 0.08), 0.01), SpeedModel((2,), (0.1,))),
    caps=(None, 40),
    floors=(1, 2),
    multiples=(4, 1),
    modelled_step=0.12,
    alone_times="measured",
)

# Fields that plans of older versions do not have.
NEWER = ("models", "caps", "floors", "multiples", "modelled_step", "alone_times", "note")


@pytest.fixture
def path(tmp_path):
    """The file of `PLAN`."""
    PlanFile(tmp_path, "a job").write(PLAN)
    (path,) = tmp_path.iterdir()
    return path


def read(path, replicas=2, global_batch=16):
    stored = PlanFile(path.parent, "a job").read(replicas, global_batch)
    return None if stored is None else stored.plan


def test_a_plan_comes_back_as_it_was_written(path):
    assert read(path) == PLAN
    assert PlanFile(path.parent, "another job").read(2, 16) is None
    PlanFile(path.parent, "a job").write(replace(PLAN, alone_step=0.3))
    assert read(path).alone_step == 0.3


def test_the_link_comes_back_beside_the_plan(path):
    file = PlanFile(path.parent, "a job")
    assert file.read(2, 16).link is None
    link = Link(small=1e-4, large=2e-3)
    file.write(PLAN, link)
    assert file.read(2, 16) == (PLAN, link)


def test_a_plan_of_an_older_version_is_read(path):
    content = json.loads(path.read_text())
    for name in NEWER:
        del content[name]
    path.write_text(json.dumps(content))
    old = read(path)
    assert old.shares == PLAN.shares
    assert old.models == ()
    assert old.modelled_step is None


def test_why_planning_took_long_is_not_said_of_a_plan_that_is_read(path):
    PlanFile(path.parent, "a job").write(replace(PLAN, note="planning took 20 s"))
    assert read(path) == PLAN


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for nowhere in (None, ""):
        file = PlanFile(nowhere, "a job")
        file.write(PLAN)
        assert file.read(2, 16) is None
    assert not list(tmp_path.iterdir())


def test_a_plan_of_another_job_is_none(path):
    assert read(path, replicas=3) is None
    assert read(path, global_batch=17) is None


@pytest.mark.parametrize(
    "change",
    [
        {"shares": [12, 4.0]},
        {"shares": [20, -4]},
        {"shares": [16]},
        {"shares": 16},
        {"shares": {"12": 0, "4": 0}},
        {"compute": [0.1]},
        {"compute": [0.1, "0.1"]},
        {"compute": [0.1, float("nan")]},
        {"compute": [True, 0.1]},
        {"communication": None},
        {"communication": 10**400},
        {"alone_step": "0.1"},
        {"uncertainty": float("inf")},
        {"reasons": ["", None]},
        {"names": []},
        {"times": 3},
        {"passes": [1, "1"]},
        {"passes": None},
        {"models": [1, 2]},
        {"models": [{"batches": [4, 8], "seconds": [0.1, 0.2], "spread": 0.0}]},
        {"models": [{"batches": [4, 8], "seconds": [0.1, "0.2"], "spread": 0.0}] * 2},
        {"models": [{"batches": [4, 8.5], "seconds": [0.1, 0.2], "spread": 0.0}] * 2},
        {"models": [{"batches": [8, 4], "seconds": [0.1, 0.2], "spread": 0.0}] * 2},
        {"caps": [None, -1]},
        {"floors": [1]},
        {"multiples": [1, "2"]},
        {"modelled_step": "0.1"},
        {"alone_times": None},
        {"note": 1},
        {"link": 3},
        {"link": {"small": 0.1}},
        {"link": {"small": 0.1, "large": -1.0}},
        {"of_another_version": 1},
    ],
)
def test_a_file_with_a_wrong_field_holds_no_plan(path, change):
    content = json.loads(path.read_text()) | change
    path.write_text(json.dumps(content))
    assert read(path) is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"null", b"[]", b"{}", b"[" * 10**5, b'"plan"']
)
def test_a_file_of_anything_else_holds_no_plan(path, content):
    path.write_bytes(content)
    assert read(path) is None


def test_a_file_that_cannot_be_read_holds_no_plan(path):
    path.unlink()
    assert read(path) is None
    path.mkdir()
    assert read(path) is None


def test_a_plan_is_written_in_one_move(path, monkeypatch):
    def fail(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        PlanFile(path.parent, "a job").write(replace(PLAN, communication=1.0))
    assert read(path) == PLAN
    assert list(path.parent.iterdir()) == [path]
