"""Batches of a data loader where a replica's share may be 0.

How a batch without samples looks is read off two that hold the first sample once and twice: what
grows from one to the other has an entry for each sample. So sequences that come time first, lists
of images and what all samples share are told apart without a guess.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from hetlib.errors import shown, wrong
from hetlib.inputs import one_of

Merge: TypeAlias = Callable[[list[Any]], Any]

EMPTY = ("rows", "sample")


def collate(
    data: Dataset[Any], merge: Merge = default_collate, *, empty: str = "rows", first: Any = 0
) -> Merge:
    """Make a ``collate_fn`` that also takes an empty batch.

    Args:
        data: The data set; one sample shows what a batch looks like.
        merge: What makes a batch of a list of samples.
        empty: What an empty batch becomes: ``"rows"``, tensors, arrays and lists without an entry,
            or ``"sample"``, that sample alone, for networks that cannot take none.
        first: What the data set is asked for to get the sample.

    Returns:
        A function for ``DataLoader(collate_fn=...)``.

    Raises:
        ValueError: ``empty`` is neither, ``merge`` no function, or ``data`` gives no samples by
            number.
    """
    one_of("empty", empty, EMPTY)
    if not callable(merge):
        raise wrong("collate_fn", merge, "a function that makes a batch of a list of samples")
    if not hasattr(data, "__getitem__"):
        raise wrong("dataset", data, "a data set that is read by numbers")
    return partial(_merge, data, merge, empty, first)


def _merge(data: Dataset[Any], merge: Merge, empty: str, first: Any, samples: list[Any]) -> Any:
    if samples:
        return merge(samples)
    try:
        sample = data[first]
        one = merge([sample])
        if empty == "sample":
            return one
        two = merge([sample, sample])
    except Exception as error:  # of any kind: the data set and the function are the caller's
        raise ValueError(
            f"`dataset` shows with its sample {shown(first)} what a batch without samples looks "
            f"like, but cannot be read or merged there ({type(error).__name__}: {error})."
        ) from error
    return _without_samples(one, two)


def _without_samples(one: Any, two: Any) -> Any:
    """Return the batch of no sample, from those of one and of two.

    Args:
        one: Tensors, arrays and sequences of values, in mappings, dataclasses, tuples and lists.
        two: The same of twice the sample.
    """
    if isinstance(one, torch.Tensor | np.ndarray):
        return _cut(one, two.shape)
    if isinstance(one, Mapping):
        return _changed(one, {key: _without_samples(one[key], two[key]) for key in one})
    if dataclasses.is_dataclass(one):
        return _with_fields(one, two, [field.name for field in dataclasses.fields(one)])
    if isinstance(one, list | tuple):
        return _shorter(one, two)
    if _holds_tensors(one):
        return _with_fields(one, two, list(vars(one)))
    return one


def _holds_tensors(batch: Any) -> bool:
    """Say whether a batch is an object of a class of its own, with tensors for attributes."""
    if not hasattr(batch, "__dict__"):
        return False
    return any(isinstance(value, torch.Tensor | np.ndarray) for value in vars(batch).values())


def _left(one: int, two: int) -> int:
    """Return the size for no sample, on the line through those for one and two."""
    return max(2 * one - two, 0)


def _cut(one: Any, grown: Sequence[int]) -> Any:
    sizes = [_left(size, larger) for size, larger in zip(one.shape, grown, strict=True)]
    return one[tuple(slice(size) for size in sizes)] if sizes else one


def _shorter(one: Any, two: Any) -> Any:
    if len(one) != len(two):
        return one[: _left(len(one), len(two))]
    parts = [_without_samples(first, second) for first, second in zip(one, two, strict=True)]
    if hasattr(one, "_fields"):
        return type(one)(*parts)
    return type(one)(parts)


def _changed(batch: Any, entries: Mapping[Any, Any]) -> Any:
    """Return a copy of a mapping of any kind, with other values."""
    changed = copy.copy(batch)
    for key, value in entries.items():
        changed[key] = value
    return changed


def _with_fields(one: Any, two: Any, names: Sequence[str]) -> Any:
    """Return a copy of an object whose fields are those of a batch without samples."""
    changed = copy.copy(one)
    for name in names:
        value = _without_samples(getattr(one, name), getattr(two, name))
        # also where the class is frozen
        object.__setattr__(changed, name, value)
    return changed


def rows_of(batch: Any) -> tuple[int, set[int]] | None:
    """Return the number that all tensors of a batch have first, and all sizes that they have.

    Args:
        batch: Tensors in mappings, dataclasses, tuples and lists.

    Returns:
        ``None`` where they do not agree, or there are none.
    """
    shapes = [tensor.shape for tensor in _tensors(batch) if tensor.ndim]
    firsts = {shape[0] for shape in shapes}
    if len(firsts) != 1:
        return None
    sizes = {size for shape in shapes for size in shape}
    return firsts.pop(), sizes


def _tensors(batch: Any) -> Iterator[torch.Tensor]:
    if isinstance(batch, torch.Tensor):
        yield batch
        return
    parts: Iterable[Any] = ()
    if isinstance(batch, Mapping):
        parts = batch.values()
    elif isinstance(batch, list | tuple):
        parts = batch
    elif dataclasses.is_dataclass(batch) or _holds_tensors(batch):
        parts = vars(batch).values()
    for part in parts:
        yield from _tensors(part)


def moved(batch: Any, device: torch.device | str) -> Any:
    """Return a batch on a device.

    Args:
        batch: Tensors, and objects with a ``to`` of their own, in mappings, dataclasses, tuples and
            lists.
        device: Where to.
    """
    if callable(getattr(batch, "to", None)):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return _changed(batch, {key: moved(value, device) for key, value in batch.items()})
    if isinstance(batch, list | tuple):
        parts = [moved(part, device) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    if dataclasses.is_dataclass(batch) or _holds_tensors(batch):
        changed = copy.copy(batch)
        for name, value in vars(batch).items():
            object.__setattr__(changed, name, moved(value, device))
        return changed
    return batch
