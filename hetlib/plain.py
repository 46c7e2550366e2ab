"""Numbers of numpy and torch as Python's own, for what is written as JSON and compared by value."""

import math
import numbers
import operator


def plain(value: object) -> object:
    """Return numpy's scalars, and arrays and tensors without a dimension, as Python's own.

    Args:
        value: Whatever was given; everything else comes back as it is.
    """
    if getattr(value, "shape", None) != () or not hasattr(value, "item"):
        return value
    try:
        return value.item()
    except Exception:  # a tensor without values, as on the device "meta", is no number
        return value


def whole_of(given: object) -> int | None:
    """Return what stands for a whole number as ``int``, or ``None`` for anything else."""
    if isinstance(given, bool) or getattr(given, "shape", ()) != ():
        return None
    try:
        return operator.index(given)  # type: ignore[arg-type]
    except Exception:
        return None


def finite_of(given: object) -> float | None:
    """Return a finite number as ``int`` or ``float``, or ``None`` for anything else."""
    if type(given) is float:
        return given if math.isfinite(given) else None
    if isinstance(given, bool) or not isinstance(given, numbers.Real):
        return None
    try:
        if isinstance(given, numbers.Integral):
            float(given)  # one that no float holds is not finite for what computes with it
            return int(given)
        found = float(given)
    except Exception:
        return None
    return found if math.isfinite(found) else None
