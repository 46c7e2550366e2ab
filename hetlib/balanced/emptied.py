"""A batch of no sample, from one of a sample and one of the same sample twice.

What grows from one to the other has an entry for each sample: a dimension of a tensor, the length
of a list, a number that counts. Its line through both goes on to no sample.
"""

import copy
import math
from collections import deque
from collections.abc import Collection, Mapping, MutableMapping, Sequence, Set
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

from hetlib.plain import plain

# Kinds of numpy's types: whole numbers, with a sign and without, and floating ones.
_REAL = "iuf"

# Of every class that has them; they hold nothing by themselves.
_SLOTS_OF_PYTHON = ("__dict__", "__weakref__")


def without_samples(one: Any, two: Any) -> Any:
    """Return the batch of no sample.

    Args:
        one: Of one sample: tensors, arrays, numbers and sequences of values, in mappings, tuples,
            lists, dataclasses and objects of classes of one's own.
        two: The same of twice the sample.

    Raises:
        TypeError: A part cannot be without samples; the message names it.
    """
    if one is two or isinstance(one, str | bytes | bool):
        return one
    if isinstance(one, torch.Tensor):
        return _tensor(one, two)
    if isinstance(one, np.ndarray):
        return _array(one, two)
    if isinstance(one, int | float | np.number):
        return type(one)(_number(one, two))
    if isinstance(one, Mapping):
        return changed_mapping(one, {key: without_samples(one[key], two[key]) for key in one})
    if isinstance(one, list | tuple | deque):
        return _sequence(one, two)
    return _object(one, two)


def _left(one: int, two: int) -> int:
    """Return the size for no sample, on the line through those for one and two."""
    return max(2 * one - two, 0)


def _number(one: Any, two: Any) -> Any:
    """Return what a count is for no sample; what does not grow, or is no count, stays."""
    first: Any = plain(one)
    second: Any = plain(two)
    if first == second:
        return first
    left = 2 * first - second
    if not math.isfinite(left):
        return first
    counts = first >= 0 and second >= 0
    return max(left, 0) if counts else left


def _tensor(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    if one.is_nested:
        raise TypeError("a nested tensor needs entries")
    if not one.ndim:
        if one.dtype == torch.bool or one.is_complex():
            return one
        return torch.full_like(one, _number(one, two))
    for place, (size, larger) in enumerate(zip(one.shape, two.shape, strict=True)):
        if size != larger:
            one = _first_entries(one, place, min(_left(size, larger), size))
    return one


def _first_entries(tensor: torch.Tensor, place: int, number: int) -> torch.Tensor:
    if tensor.layout == torch.strided:
        return tensor.narrow(place, 0, number)
    # sparse ones have no view of a part
    return tensor.index_select(place, torch.arange(number, device=tensor.device))


def _array(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    if not one.ndim:
        if one.dtype.kind not in _REAL:
            return one
        return np.full_like(one, _number(one, two))
    sizes = [_left(size, larger) for size, larger in zip(one.shape, two.shape, strict=True)]
    cut: np.ndarray = one[tuple(slice(size) for size in sizes)]
    return cut


def _sequence(one: Any, two: Any) -> Any:
    if isinstance(one, deque):
        return type(one)(_sequence([*one], [*two]), one.maxlen)
    if isinstance(one, PackedSequence):
        raise TypeError("a PackedSequence needs sequences")
    if len(one) != len(two):
        return changed_sequence(one, one[: _left(len(one), len(two))])
    parts = [without_samples(first, second) for first, second in zip(one, two, strict=True)]
    return changed_sequence(one, parts)


def _cut(entries: Any, number: int) -> Any:
    """Return the first entries of an array, a table, a set or the like."""
    if isinstance(entries, Set):
        kind: Any = type(entries)
        return kind(islice(entries, number))
    cut = entries[:number]
    if len(cut) != number:
        raise TypeError(f"a {type(entries).__name__} needs entries")
    return cut


def changed_sequence(batch: Any, parts: Sequence[Any]) -> Any:
    """Return a tuple or list of the same kind, with other entries.

    Args:
        batch: The tuple or list.
        parts: The entries.
    """
    if isinstance(batch, list):
        # a class of one's own may be made of other arguments
        changed = copy.copy(batch)
        changed[:] = parts
        return changed
    if not hasattr(batch, "_fields"):
        return type(batch)(parts)
    return type(batch)(*parts)


def changed_mapping(batch: Any, entries: Mapping[Any, Any]) -> Any:
    """Return a mapping of the same kind, with other values.

    Args:
        batch: The mapping; in place of one that nobody can change there is a dict.
        entries: All its entries.
    """
    if not isinstance(batch, MutableMapping):
        return dict(entries)
    changed = copy.copy(batch)
    for key, value in entries.items():
        changed[key] = value
    return changed


def _object(one: Any, two: Any) -> Any:
    if isinstance(one, Collection) and len(one) != len(two):
        return _cut(one, _left(len(one), len(two)))
    own = attributes_of(one)
    grown = attributes_of(two)
    changes = {}
    for name, value in own.items():
        left = without_samples(value, grown.get(name, value))
        if left is not value:
            changes[name] = left
    return changed_object(one, changes)


def attributes_of(thing: Any) -> dict[str, Any]:
    """Return what an object holds, by name, also in ``__slots__``.

    Args:
        thing: Any.
    """
    found = dict(getattr(thing, "__dict__", {}))
    for kind in type(thing).__mro__:
        names = vars(kind).get("__slots__", ())
        for name in [names] if isinstance(names, str) else names:
            if name not in _SLOTS_OF_PYTHON and hasattr(thing, name):
                found[name] = getattr(thing, name)
    return found


def changed_object(thing: Any, changes: Mapping[str, Any]) -> Any:
    """Return a copy of an object with some other attributes; without any, the object.

    Args:
        thing: Any.
        changes: The attributes.
    """
    if not changes:
        return thing
    changed = copy.copy(thing)
    for name, value in changes.items():
        # also where the class is frozen
        object.__setattr__(changed, name, value)
    return changed
