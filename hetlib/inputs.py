"""Checks of a value that a caller gives, or a file holds: a type, a bound, and the words for them.

Each function takes the argument's name and its value, and returns the value as plain Python:
numbers of numpy and 0-d tensors are taken where numbers are, and come back as such that JSON can
write. What does not fit is a ``ValueError``, whether its type is wrong or its value: "`threads` is
'4'; it must be a whole number >= 1."

>>> whole("threads", 4, low=1)
4
"""

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from hetlib.errors import shown, wrong
from hetlib.plain import finite_of, plain, whole_of

T = TypeVar("T")

# Samples of a step: the product of two such numbers, as in dealing by shares, is within int64.
MOST_SAMPLES = 2**31 - 1

# Any other whole number: what files, numpy and torch hold in 64 bits.
MOST_WHOLE = 2**63 - 1

# What torch's generators take.
MOST_SEED = 2**64 - 1


def keep(settings: object, **values: object) -> None:
    """Set fields of a frozen dataclass while it is made, to what the checks returned.

    Args:
        settings: The dataclass.
        values: Its fields.
    """
    for name, value in values.items():
        object.__setattr__(settings, name, value)


def whole(name: str, value: object, *, low: int | None = None, high: int | None = None) -> int:
    """Take a whole number; ``True``, ``"31"`` and ``2.9`` are none.

    Args:
        name: Of the argument, for the message.
        value: What was given: a number of Python or numpy, or a 0-d array or tensor of integers.
        low: The least that is allowed; ``None``: what 64 bits hold.
        high: The most that is allowed; ``None``: what 64 bits hold.

    Returns:
        The number, as Python's ``int``.

    Raises:
        ValueError: It is no whole number, or out of bounds.
    """
    found = value
    if type(value) is not int:
        found = whole_of(plain(value))
    if not isinstance(found, int):
        raise wrong(name, value, "a whole number" + _between(low, None))
    if low is None:
        low = -MOST_WHOLE
    if high is None:
        high = MOST_WHOLE
    if not low <= found <= high:
        raise wrong(name, value, "a whole number" + _between(low, high))
    return found


def number(
    name: str,
    value: object,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Take a finite number; ``True``, ``"1"``, NaN and infinity are none.

    Args:
        name: Of the argument, for the message.
        value: What was given: a number of Python or numpy, or a 0-d array or tensor.
        low: The least that is allowed; ``None``: no bound.
        high: The most that is allowed; ``None``: no bound.
        above: What it must be larger than; ``None``: no bound.
        below: What it must be smaller than; ``None``: no bound.

    Returns:
        The number; a whole one stays an ``int``, as it is written in records and fingerprints.

    Raises:
        ValueError: It is no finite number, or out of bounds.
    """
    found = finite_of(plain(value))
    if found is None or not _is_within(found, low, high) or not _is_inside(found, above, below):
        raise wrong(name, value, "a finite number" + _between(low, high, above, below))
    return found


def flag(name: str, value: object) -> bool:
    """Take ``True`` or ``False``; ``"no"``, 0 and 1 are neither.

    Args:
        name: Of the argument, for the message.
        value: What was given: a bool of Python or numpy.

    Raises:
        ValueError: It is neither.
    """
    given = plain(value)
    if not isinstance(given, bool):
        raise wrong(name, value, "True or False")
    return given


def text(name: str, value: object, *, words: str = "text that is not empty") -> str:
    """Take text that is not empty.

    Args:
        name: Of the argument, for the message.
        value: What was given.
        words: What it must be, such as ``"the name of a device"``.

    Returns:
        The text, as Python's ``str``.

    Raises:
        ValueError: It is no text, or empty.
    """
    if not isinstance(value, str) or not value:
        raise wrong(name, value, words)
    return str(value)


def one_of(name: str, value: object, allowed: Collection[T]) -> T:
    """Take one of the values that are allowed.

    Args:
        name: Of the argument, for the message.
        value: What was given; it need not be hashable.
        allowed: What may be given.

    Returns:
        The one among ``allowed``.

    Raises:
        ValueError: ``value`` is none of them.
    """
    given = plain(value)
    for choice in allowed:
        # compared with its like alone: 1 is not True, and an array compares item by item
        alike = isinstance(given, str) or type(given) is type(choice)
        if alike and given == choice:
            return choice
    message = f"`{name}` is {shown(value)}; allowed are {list(allowed)}."
    raise ValueError(message)


def optional(check: Callable[..., T], name: str, value: object, **bounds: Any) -> T | None:
    """Take ``None``, or what a check takes.

    Args:
        check: One of this module's functions.
        name: Of the argument, for the message.
        value: What was given.
        bounds: Further arguments of the check.

    Returns:
        ``None``, or what the check returns.

    Raises:
        ValueError: The check refuses it.

    >>> optional(whole, "max_steps", None, low=1)
    """
    if value is None:
        return None
    try:
        return check(name, value, **bounds)
    except ValueError as error:
        message = str(error).replace("it must be ", "it must be None or ", 1)
        raise ValueError(message) from None


def path(name: str, value: object) -> Path:
    """Take the path of a file or folder.

    Args:
        name: Of the argument, for the message.
        value: Text that is not empty, or what ``os.fspath`` makes text of.

    Raises:
        ValueError: It is no path, or holds a zero byte.
    """
    given = value
    if isinstance(value, os.PathLike):
        given = os.fspath(value)
    if not isinstance(given, str) or not given or "\0" in given:
        raise wrong(name, value, "the path of a file or folder")
    return Path(given)


def _between(
    low: float | None,
    high: float | None,
    above: float | None = None,
    below: float | None = None,
) -> str:
    """Return the bounds as words, with a blank before them."""
    bounds = {">=": low, ">": above, "<=": high, "<": below}
    told = [f"{sign} {bound}" for sign, bound in bounds.items() if bound is not None]
    if not told:
        return ""
    return " " + " and ".join(told)


def _is_within(found: float, low: float | None, high: float | None) -> bool:
    return (low is None or found >= low) and (high is None or found <= high)


def _is_inside(found: float, above: float | None, below: float | None) -> bool:
    return (above is None or found > above) and (below is None or found < below)
