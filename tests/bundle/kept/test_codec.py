"""Kept values come back as they were."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hetlib
from hetlib.training.records import RunRecord
from hetlib_bundle.kept.codec import decode, encode

MODELS = [hetlib.SpeedModel.constant(1), hetlib.SpeedModel.constant(3)]


def copied(value: Any) -> Any:
    runs: list[RunRecord] = []
    text = json.dumps(encode(value, runs), allow_nan=False)
    return decode(json.loads(text), runs)


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 0.1, 1e-300, -0.0, True, None, "µ"], "b": ((1,), {"c": ()})},
        hetlib.SpeedModel((1, 2), (0.1 + 0.2, 1 / 3 + 0.1), 0.01),
        hetlib.partition(MODELS, 8, names=("a", "b")),
        (math.inf, -math.inf),
    ],
)
def test_values_come_back_equal(value: Any) -> None:
    back = copied(value)
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64", "bool"])
def test_arrays_come_back_to_the_bit(dtype: str) -> None:
    drawn = np.random.default_rng(0).standard_normal((3, 4, 2))
    array = (drawn * 100).astype(dtype)[:, ::2]
    back = copied(array)
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()
    back[:] = 0  # one's own to change, as what was computed is


@pytest.mark.parametrize("index", [None, ["x", "y", "x"], pd.Index([3, 1, 2], name="seed")])
def test_frames_come_back_equal(index: Any) -> None:
    columns = {
        "name": ["a", "b", "c"],
        "n": [1, 2, 3],
        "t": [0.1 + 0.2, math.nan, math.inf],
        "on": [True, False, True],
    }
    table = pd.DataFrame(columns, index=index)
    pd.testing.assert_frame_equal(copied(table), table, check_exact=True)


@pytest.mark.parametrize("value", [{1: 2}, {"kind": 1}, {1, 2}, Path()])
def test_what_cannot_be_kept_is_named(value: object) -> None:
    message = rf"cannot keep {type(value).__name__} .* allowed are numbers"
    with pytest.raises(TypeError, match=message):
        encode([value], [])
