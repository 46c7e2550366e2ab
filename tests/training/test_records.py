"""A record is whole or not there, and older ones can still be read."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from hetlib.training.records import RunRecord
from hetlib.training.run import is_of

RECORD = RunRecord(
    fingerprint="0123456789abcdef",
    experiment={"seed": 0},
    platform=[{"slowdown": 1.0}],
    mode="processes",
    times="measured",
    shares=[64],
    lr=0.1,
    speeds=[1.0],
    epochs=[{"epoch": 1, "step": 2, "loss": 1.0, "oa": 0.5, "aa": 0.5, "kappa": 0.0}],
    confusion=[[1]],
    steps={"compute": [[1 / 3], [0.5]]},
)


def test_weights_are_not_saved(tmp_path):
    heavy = dataclasses.replace(RECORD, weights={"bias": np.ones(3)})
    path = heavy.save(tmp_path / "new folder")
    assert path.name == "0123456789abcdef.json"
    assert "weights" not in json.loads(path.read_text())
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # nothing left beside it
    found = RunRecord.load(path)
    assert found.weights is None
    assert found.steps == {"compute": [[0.3333333], [0.5]]}
    assert RECORD.steps == {"compute": [[1 / 3], [0.5]]}


def test_a_record_from_before_plans_were_kept_is_read(tmp_path):
    values = RECORD.to_dict()
    del values["plan"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(values))
    assert RunRecord.load(path) == RECORD


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b"3",
        b"{}",
        b'{"fingerprint": 1, "unknown": 2}',
        b"\xff\xfe{}",
        b"[" * 10**5,
    ],
)
def test_what_is_no_record_is_none(tmp_path, content):
    path = tmp_path / "record.json"
    path.write_bytes(content)
    assert RunRecord.load(path) is None
    assert RunRecord.load(tmp_path) is None
    assert RunRecord.load(tmp_path / "none.json") is None


WRONG = {
    "fingerprint": ["../../../evil", "0123456789ABCDEF", 7],
    "experiment": [None, [1]],
    "platform": [[], "x", [1]],
    "mode": ["", ["virtual"], 1],
    "times": ["guessed", None],
    "shares": ["x", [], [1.5], [-1], [64, 64], [True]],
    "speeds": [["fast"], [1.0, 2.0]],
    "lr": ["0.1", None],
    "epochs": [[], [{}], [{"epoch": 1}], {"oa": 1.0}],
    "confusion": [[[1, 2]], [["a"]], 3],
    "steps": [[], {"compute": [["a"]]}],
    "plans": [[[0]], [[0, []]], [["a", [1]]]],
    "started": [{"first_step": "soon"}],
    "dataset": ["brandenburg"],
    "environment": [[]],
    "plan": [[1]],
}
CASES = [(name, value) for name, values in WRONG.items() for value in values]


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_field_that_holds_something_else_is_named_and_makes_no_record(tmp_path, name, value):
    values = RECORD.to_dict() | {name: value}
    with pytest.raises(ValueError, match=f"`({name}|shares|speeds)`"):
        RunRecord.from_dict(values)
    path = tmp_path / "0123456789abcdef.json"
    path.write_text(json.dumps(values))
    assert RunRecord.load(path) is None


def test_a_record_under_the_name_of_another_run_is_none(tmp_path):
    path = RECORD.save(tmp_path)
    other = path.rename(tmp_path / "fedcba9876543210.json")
    assert RunRecord.load(other) is None


@pytest.mark.parametrize("name", ["../../../evil", "/tmp/evil", "", "0123"])
def test_a_fingerprint_that_is_a_path_is_not_written(tmp_path, name):
    evil = dataclasses.replace(RECORD, fingerprint=name)
    with pytest.raises(ValueError, match=r"`fingerprint`.*16 hexadecimal"):
        evil.save(tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"shares": [32]},
        {"mode": "virtual"},
        {"experiment": {"seed": 1}},
        {"dataset": {"checksum": "b"}},
        {"platform": [{"slowdown": 2.0}]},
    ],
)
def test_a_record_with_other_settings_than_its_name_says_is_another_runs(change):
    record = dataclasses.replace(RECORD, dataset={"checksum": "a"})
    experiment = SimpleNamespace(to_dict=lambda: {"seed": 0}, code=lambda: RECORD.code)
    replicas = SimpleNamespace(
        platform=SimpleNamespace(to_list=lambda: [{"slowdown": 1.0}]), timed=True
    )
    assignment = SimpleNamespace(shares=(64,))
    assert is_of(record, experiment, replicas, assignment, "a")
    assert not is_of(dataclasses.replace(record, **change), experiment, replicas, assignment, "a")
