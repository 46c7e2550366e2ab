"""Values of a notebook as plain JSON and back, losslessly; run records are set aside, to be written one a line."""

import base64
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hetlib.planning.partition import Partition
from hetlib.planning.speed import SpeedModel
from hetlib.training.records import RunRecord


class _Kind(NamedTuple):
    """A type that JSON does not know: how it becomes one that `encode` knows, and how it comes back."""

    type: type
    plain: Callable[[Any], Any]
    back: Callable[[Any], Any]


def _array(values: np.ndarray) -> dict[str, Any]:
    packed = base64.b64encode(zlib.compress(np.ascontiguousarray(values).tobytes(), 9)).decode()
    return {"dtype": values.dtype.str, "shape": list(values.shape), "zlib": packed}


def _to_array(plain: dict[str, Any]) -> np.ndarray:
    content = zlib.decompress(base64.b64decode(plain["zlib"]))
    return np.frombuffer(content, plain["dtype"]).reshape(plain["shape"]).copy()


def _frame(table: pd.DataFrame) -> dict[str, Any]:
    labels = {
        "name": table.index.name,
        "dtype": str(table.index.dtype),
        "values": table.index.tolist(),
    }
    columns = [[name, str(column.dtype), column.tolist()] for name, column in table.items()]
    return {"index": labels, "columns": columns}


def _to_frame(plain: dict[str, Any]) -> pd.DataFrame:
    labels, columns = plain["index"], plain["columns"]
    index = pd.Index(labels["values"], dtype=labels["dtype"], name=labels["name"])
    return pd.DataFrame(
        {name: pd.Series(values, index, dtype) for name, dtype, values in columns}, index
    )


KINDS = {
    "number": _Kind(float, repr, float),  # NaN and the infinities
    "tuple": _Kind(tuple, list, tuple),
    "array": _Kind(np.ndarray, _array, _to_array),
    "frame": _Kind(pd.DataFrame, _frame, _to_frame),
    "SpeedModel": _Kind(SpeedModel, vars, lambda fields: SpeedModel(**fields)),
    "Partition": _Kind(Partition, vars, lambda fields: Partition(**fields)),
}


def encode(value: Any, runs: list[RunRecord]) -> Any:
    """Return ``value`` as what JSON holds; its run records are appended to ``runs`` and referred to by their number.

    Args:
        value: None, numbers, strings, tuples, lists and dicts with string keys, arrays of numbers,
            data frames with a plain index, and `RunRecord`, `Partition` or `SpeedModel`, in any
            nesting.
        runs: Run records so far.

    Raises:
        TypeError: Another type.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, RunRecord):
        runs.append(value)
        return {"kind": "run", "value": len(runs) - 1}
    if (
        value is None
        or isinstance(value, (bool, int, str))
        or (isinstance(value, float) and math.isfinite(value))
    ):
        return value
    if isinstance(value, list):
        return [encode(item, runs) for item in value]
    if (
        isinstance(value, dict)
        and "kind" not in value
        and all(isinstance(key, str) for key in value)
    ):
        return {key: encode(item, runs) for key, item in value.items()}
    for name, kind in KINDS.items():
        if isinstance(value, kind.type):
            return {"kind": name, "value": encode(kind.plain(value), runs)}
    known = "numbers, strings, tuples, lists, dicts of strings other than 'kind', arrays, frames, RunRecord"
    raise TypeError(
        f"cannot keep {type(value).__name__} {str(value)[:60]!r}; allowed are {known}, {', '.join(KINDS)}."
    )


def decode(plain: Any, runs: Sequence[RunRecord]) -> Any:
    """Return the value that `encode` was given."""
    if isinstance(plain, list):
        return [decode(item, runs) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if "kind" not in plain:
        return {key: decode(item, runs) for key, item in plain.items()}
    if plain["kind"] == "run":
        return runs[plain["value"]]
    return KINDS[plain["kind"]].back(decode(plain["value"], runs))
