"""Checks of what holds several values, a sequence or a mapping; `hetlib.inputs` has those of one.

>>> mapping("options", {"size": 3}, ["size"])
{'size': 3}
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from itertools import islice
from typing import Any, TypeVar

from hetlib.errors import shown, wrong

T = TypeVar("T")

# Most items of a sequence of settings; no list of replicas, plans or names is nearly as long, and
# an endless iterator ends here.
MOST_ITEMS = 1_000_000

# Iterable, but no sequences of settings: text and bytes, and what has no order.
NO_SEQUENCES = (str, bytes, bytearray, memoryview, Mapping, AbstractSet)


def items(
    name: str,
    value: object,
    of: Callable[[str, Any], T],
    *,
    count: int | None = None,
    low: int | None = None,
) -> tuple[T, ...]:
    """Take a sequence, each of whose items a check takes; text, a set and a single value are none.

    Args:
        name: Of the argument, for the message.
        value: What was given: a list, a tuple, a range, an array or tensor of one dimension.
        of: The check of an item; it gets a name such as ``"shares[2]"`` and the item.
        count: How many there must be; ``None``: any number.
        low: How many there must be at least; ``None``: none.

    Returns:
        What the check returned for each.

    Raises:
        ValueError: It is no sequence, has another number of items, or an item is not allowed.

    >>> items("names", ["a", "b"], lambda name, value: value.upper())
    ('A', 'B')
    """
    words = _length(count, low)
    given = _listed(value)
    if given is None:
        raise wrong(name, value, words)
    number_of = len(given)
    if number_of > MOST_ITEMS:
        raise ValueError(f"`{name}` has more than {MOST_ITEMS:,} items; it must be {words}.")
    too_few = low is not None and number_of < low
    other = count is not None and number_of != count
    if too_few or other:
        raise wrong(name, value, words)
    try:
        return tuple([of(name, item) for item in given])
    except ValueError:  # which one it is: a name for each of 100,000 items would take too long
        return tuple([of(f"{name}[{place}]", item) for place, item in enumerate(given)])


def mapping(
    name: str,
    value: object,
    allowed: Collection[str] | None = None,
    required: Collection[str] = (),
) -> dict[str, Any]:
    """Take a mapping whose keys are text.

    Args:
        name: Of the argument, for the message.
        value: What was given.
        allowed: The keys that it may have; ``None``: any.
        required: The keys that it must have.

    Returns:
        A dictionary of its own, with the values as they are.

    Raises:
        ValueError: It is no mapping, a key is no text or not allowed, or one is missing.
    """
    if not isinstance(value, Mapping):
        raise wrong(name, value, "a mapping, such as {'name': value}")
    content = dict(value)
    for key in content:
        if not isinstance(key, str):
            raise ValueError(f"`{name}` has the key {shown(key)}; its keys must be text.")
        if allowed is not None and key not in allowed:
            raise ValueError(f"`{name}` has the unknown key {shown(key)}{_instead(key, allowed)}")
    missing = [key for key in required if key not in content]
    if missing:
        raise ValueError(f"`{name}` lacks {missing}; it has {shown(sorted(content))}.")
    return content


def anything(name: str, value: object) -> Any:
    """Take an item as it is: a check for `items` where what it must be is seen later.

    Args:
        name: Of the item.
        value: What was given.
    """
    return value


def _length(count: int | None, low: int | None) -> str:
    """Return what a sequence must be as words."""
    if count is not None:
        return f"a sequence of {count} items"
    if low is not None:
        return f"a sequence of at least {low} items"
    return "a sequence, such as a list"


def _listed(value: object) -> list[Any] | None:
    """Return the items of a sequence, one above the most that are allowed, or ``None``."""
    if isinstance(value, NO_SEQUENCES):
        return None
    if not isinstance(value, Iterable) or getattr(value, "shape", None) == ():
        return None
    try:
        return list(islice(value, MOST_ITEMS + 1))
    except Exception:  # what cannot be gone through is no sequence
        return None


def _instead(key: str, allowed: Collection[str]) -> str:
    """Return the end of a sentence about an unknown key."""
    close = get_close_matches(key, allowed, n=1)
    if close:
        return f" (meant: {close[0]!r}?); allowed are {sorted(allowed)}."
    return f"; allowed are {sorted(allowed)}."
