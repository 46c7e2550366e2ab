"""A record is whole or not there, and older ones can still be read."""

import dataclasses
import json

import numpy as np
import pytest

from hetlib.training.records import RunRecord

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
