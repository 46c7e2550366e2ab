"""Values of a notebook as plain JSON and back, losslessly.

Run records are set aside, to be written one a line.
"""

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

# The smallest file: kept values lie in the clone.
COMPRESSION = 9


class _Kind(NamedTuple):
    """A type that JSON does not know."""

    type: type

    # From a value to one that `encode` knows.
    plain: Callable[[Any], Any]

    # And from that to the value.
    back: Callable[[Any], Any]


def _array(values: np.ndarray) -> dict[str, Any]:
    content = np.ascontiguousarray(values).tobytes()
    packed = zlib.compress(content, COMPRESSION)
    return {
        "dtype": values.dtype.str,
        "shape": list(values.shape),
        "zlib": base64.b64encode(packed).decode(),
    }


def _to_array(plain: dict[str, Any]) -> np.ndarray:
    packed = base64.b64decode(plain["zlib"])
    values = np.frombuffer(zlib.decompress(packed), plain["dtype"])
    return values.reshape(plain["shape"]).copy()  # which one may change


def _frame(table: pd.DataFrame) -> dict[str, Any]:
    index = {
        "name": table.index.name,
        "dtype": str(table.index.dtype),
        "values": table.index.tolist(),
    }
    columns = []
    for name, column in table.items():
        columns.append([name, str(column.dtype), column.tolist()])
    return {"index": index, "columns": columns}


def _to_frame(plain: dict[str, Any]) -> pd.DataFrame:
    labels = plain["index"]
    index = pd.Index(labels["values"], dtype=labels["dtype"], name=labels["name"])
    columns = {}
    for name, dtype, values in plain["columns"]:
        columns[name] = pd.Series(values, index, dtype)
    return pd.DataFrame(columns, index)


def _to_speed_model(fields: dict[str, Any]) -> SpeedModel:
    return SpeedModel(**fields)


def _to_partition(fields: dict[str, Any]) -> Partition:
    return Partition(**fields)


KINDS = {
    "number": _Kind(float, repr, float),  # NaN and the infinities
    "tuple": _Kind(tuple, list, tuple),
    "array": _Kind(np.ndarray, _array, _to_array),
    "frame": _Kind(pd.DataFrame, _frame, _to_frame),
    "SpeedModel": _Kind(SpeedModel, vars, _to_speed_model),
    "Partition": _Kind(Partition, vars, _to_partition),
}


def encode(value: Any, runs: list[RunRecord]) -> Any:
    """Return a value as what JSON holds.

    Its run records are appended to ``runs`` and referred to by their number.

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
    if _is_plain(value):
        return value
    if isinstance(value, list):
        return [encode(item, runs) for item in value]
    if _is_plain_dict(value):
        return {key: encode(item, runs) for key, item in value.items()}
    return _encode_kind(value, runs)


def _is_plain(value: Any) -> bool:
    """Say whether JSON holds a value as it is; NaN and the infinities it does not."""
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (bool, int, str))


def _is_plain_dict(value: Any) -> bool:
    """Say whether a value is a dict that is not taken for a kind of ours when it is read."""
    if not isinstance(value, dict) or "kind" in value:
        return False
    return all(isinstance(key, str) for key in value)


def _encode_kind(value: Any, runs: list[RunRecord]) -> dict[str, Any]:
    """Return a value that is one of `KINDS`, under the name of its kind."""
    for name, kind in KINDS.items():
        if isinstance(value, kind.type):
            return {"kind": name, "value": encode(kind.plain(value), runs)}
    known = (
        "numbers, strings, tuples, lists, dicts of strings other than 'kind', "
        f"arrays, frames, RunRecord, {', '.join(KINDS)}"
    )
    raise TypeError(f"cannot keep {type(value).__name__} {str(value)[:60]!r}; allowed are {known}.")


def decode(plain: Any, runs: Sequence[RunRecord]) -> Any:
    """Return the value that `encode` was given.

    Args:
        plain: What `encode` returned.
        runs: The run records that it set aside.
    """
    if isinstance(plain, list):
        return [decode(item, runs) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if "kind" not in plain:
        return {key: decode(item, runs) for key, item in plain.items()}
    if plain["kind"] == "run":
        return runs[plain["value"]]
    kind = KINDS[plain["kind"]]
    return kind.back(decode(plain["value"], runs))
