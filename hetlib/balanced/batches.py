"""Batches of a data loader where a replica's share may be 0.

How a batch without samples looks is read off two that hold the first sample once and twice: what
grows from one to the other has an entry for each sample. So sequences that come time first, lists
of images and what all samples share are told apart without a guess.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from hetlib.balanced.emptied import (
    attributes_of,
    changed_mapping,
    changed_object,
    changed_sequence,
    without_samples,
)
from hetlib.balanced.sizes import Sizes, grown, sizes_of
from hetlib.errors import shown, wrong
from hetlib.inputs import one_of
from hetlib.randomness import random_states_kept

Merge: TypeAlias = Callable[[list[Any]], Any]

EMPTY = ("rows", "sample")

# Samples that are tried until one can be read and is not left out by `collate_fn`.
_MOST_TRIED = 100
# Samples that are asked where batches count them: of a form that does not tell, none does.
_MOST_TOLD = 10


def collate(
    data: Dataset[Any], merge: Merge = default_collate, *, empty: str = "rows", first: Any = 0
) -> "Collate":
    """Make a ``collate_fn`` that also takes an empty batch.

    Args:
        data: The data set; one sample shows what a batch looks like.
        merge: What makes a batch of a list of samples; it may return ``None`` for samples that are
            all left out, which is an empty batch, too.
        empty: What an empty batch becomes: ``"rows"``, tensors, arrays and lists without an entry,
            and counts of 0, or ``"sample"``, that sample alone, for networks that cannot take none.
        first: What the data set is asked for to get the sample. Where number 0 cannot be read, or
            ``merge`` leaves it out, the next ones are tried.

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
    return Collate(data, merge, empty, first)


class Collate:
    """Merges samples, and makes a batch of none.

    Args:
        data: The data set.
        merge: What makes a batch of a list of samples.
        empty: One of `EMPTY`.
        first: What the data set is asked for first to get a sample.
    """

    def __init__(self, data: Dataset[Any], merge: Merge, empty: str, first: Any) -> None:
        self._data = data
        self._merge = merge
        self._empty = empty
        self._first = first

    def __call__(self, samples: list[Any]) -> Any:
        """Merge samples, may be none."""
        if samples:
            batch = self._merge(samples)
            if batch is not None:
                return batch
        with random_states_kept():
            return self._of_nothing()

    @cached_property
    def places(self) -> Sizes:
        """Where the sizes of a batch count samples; nowhere, where no sample tells."""
        with random_states_kept():
            for key in islice(self._tried(), _MOST_TOLD):
                try:
                    sample = self._data[key]
                    one = sizes_of(self._alike(sample, 1))
                    two = sizes_of(self._alike(sample, 2))
                except Exception:  # of any kind: data set and function are the caller's
                    continue
                found = grown(one, two)
                if found:
                    return found
        return {}

    def _of_nothing(self) -> Any:
        sample = self._some_sample()
        one = self._alike(sample, 1)
        if self._empty == "sample":
            return one
        try:
            return without_samples(one, self._alike(sample, 2))
        except Exception as error:
            raise RuntimeError(
                "this replica has no sample in the step, and a batch without rows cannot be made: "
                f"{error}. Make the loader with empty='sample', which gives one sample of weight "
                "0, or with drop_last=True."
            ) from error

    def _alike(self, sample: Any, times: int) -> Any:
        """Merge a sample some times over, with the same random numbers each time."""
        with random_states_kept():
            return self._merge([sample] * times)

    def _some_sample(self) -> Any:
        """Return a sample that can be read and is not left out."""
        failed = "`collate_fn` returned None"
        for key in self._tried():
            try:
                sample = self._data[key]
                if self._alike(sample, 1) is not None:
                    return sample
            except Exception as error:  # of any kind: data set and function are the caller's
                failed = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"`dataset` shows with its sample {shown(self._first)} or one of the next what a batch "
            f"without samples looks like, but none can be read and merged ({failed}); put one "
            "first that can, or make the loader with drop_last=True."
        )

    def _tried(self) -> Iterable[Any]:
        """Return what the data set is asked for until a sample is found."""
        if isinstance(self._first, int) and hasattr(self._data, "__len__"):
            # a sampler's first number may be any
            return range(self._first, min(len(self._data), self._first + _MOST_TRIED))
        return [self._first]


def tensors_of(batch: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors of a batch, or of what a model returns.

    Args:
        batch: Tensors in mappings, tuples, lists, dataclasses and objects of classes of one's own.
    """
    if isinstance(batch, torch.Tensor):
        yield batch
        return
    parts: Iterable[Any] = ()
    if isinstance(batch, Mapping):
        parts = batch.values()
    elif isinstance(batch, list | tuple):
        parts = batch
    else:
        parts = parts_of(batch).values()
    for part in parts:
        yield from tensors_of(part)


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
        return changed_mapping(batch, {key: moved(value, device) for key, value in batch.items()})
    if isinstance(batch, list | tuple):
        return changed_sequence(batch, [moved(part, device) for part in batch])
    parts = parts_of(batch)
    return changed_object(batch, {name: moved(part, device) for name, part in parts.items()})


def parts_of(batch: Any) -> dict[str, Any]:
    """Return the attributes of a dataclass, or of an object that holds tensors; of others none.

    Args:
        batch: Any object.
    """
    parts = attributes_of(batch)
    if dataclasses.is_dataclass(batch) or any(_holds_tensors(part) for part in parts.values()):
        return parts
    return {}


def _holds_tensors(part: Any) -> bool:
    """Say whether an attribute is a tensor, or a container of some."""
    if isinstance(part, torch.Tensor | np.ndarray):
        return True
    if isinstance(part, Mapping):
        return any(_holds_tensors(entry) for entry in part.values())
    return isinstance(part, list | tuple) and any(_holds_tensors(entry) for entry in part)
