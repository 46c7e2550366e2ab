"""Arguments that data sets share, checked before a file is opened."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hetlib.containers import items
from hetlib.datasets.types import Classes, Names, Range
from hetlib.errors import shown, wrong
from hetlib.inputs import plain, text, whole


def names(name: str, value: object) -> tuple[str, ...] | None:
    """Take a sequence of names, or None.

    Args:
        name: Of the argument, for the message.
        value: What was given.

    Raises:
        ValueError: It is neither, is empty, or has a name twice.
    """
    if value is None:
        return None
    found = items(name, value, text, low=1)
    if len(set(found)) < len(found):
        raise wrong(name, value, "names that differ")
    return found


def classes_to_use(value: object) -> Classes:
    """Take the names of classes, their names by number, or None.

    Args:
        value: What was given as ``classes``.

    Raises:
        ValueError: It is none of these.
    """
    if not isinstance(value, Mapping):
        return names("classes", value)
    if not value:
        raise wrong("classes", value, "names by number, such as {1: 'water'}")
    found = {}
    for number, name in value.items():
        found[whole("classes: a number", number)] = text(f"classes[{number}]", name)
    return found


def range_of_values(value: object) -> Range:
    """Take the lowest and highest value that is data, or None.

    Args:
        value: What was given as ``valid_range``; infinity is no limit.

    Raises:
        ValueError: It is neither two numbers, the lower one first, nor None.
    """
    if value is None:
        return None
    low, high = items("valid_range", value, limit, count=2)
    if low > high:
        raise wrong("valid_range", value, "the lowest value first, then the highest")
    return (low, high)


def limit(name: str, value: object) -> float:
    """Take a number, which may be infinite.

    Args:
        name: Of the argument, for the message.
        value: What was given.

    Raises:
        ValueError: It is no number.
    """
    given = plain(value)
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or math.isnan(given):  # type: ignore[arg-type]
        raise wrong(name, value, "a number")
    return given  # type: ignore[return-value]


def transform(value: Any) -> Any:
    """Take what is applied to each item, or None.

    Args:
        value: What was given as ``transforms``.

    Raises:
        ValueError: It cannot be called.
    """
    if value is not None and not callable(value):
        raise wrong("transforms", value, "something to call with an item, or None")
    return value


def chosen_names(name: str, value: Names, known: Sequence[str]) -> tuple[str, ...]:
    """Take names out of those known; None is all.

    Args:
        name: Of the argument, for the message.
        value: Those asked for.
        known: Those that there are.

    Returns:
        Names, in the order asked for.

    Raises:
        ValueError: It is no sequence, is empty, or names an unknown one.
    """
    if value is None:
        return tuple(known)
    try:
        chosen = items(name, value, text, low=1)
    except ValueError:
        chosen = ()
    if not chosen or not set(chosen) <= set(known):
        raise ValueError(
            f"`{name}` must be a sequence of names out of {list(known)}, got {shown(value)}."
        )
    return chosen
