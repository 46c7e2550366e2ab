"""Batches of a data loader where a replica's share may be 0."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from hetlib.errors import one_of

Merge: TypeAlias = Callable[[list[Any]], Any]


def collate(data: Dataset[Any], merge: Merge = default_collate, *, empty: str = "rows") -> Merge:
    """Make a ``collate_fn`` that also takes an empty batch.

    Args:
        data: The data set; its first sample shows what a batch looks like.
        merge: What makes a batch of a list of samples.
        empty: What an empty batch becomes: ``"rows"``, tensors, arrays and lists without rows, or
            ``"sample"``, the first sample alone, for networks that cannot take none.

    Returns:
        A function for ``DataLoader(collate_fn=...)``.

    Raises:
        ValueError: ``empty`` is neither.
    """
    one_of("empty", empty, ("rows", "sample"))
    return partial(_merge, data, merge, empty)


def _merge(data: Dataset[Any], merge: Merge, empty: str, samples: list[Any]) -> Any:
    if samples:
        return merge(samples)
    one = merge([data[0]])
    return one if empty == "sample" else without_rows(one)


def without_rows(batch: Any) -> Any:
    """Return a batch with everything that has a row for each sample cut to none.

    Args:
        batch: Tensors, arrays and sequences of values, in mappings, tuples and lists of them.
    """
    if isinstance(batch, torch.Tensor | np.ndarray):
        return batch[:0] if batch.ndim else batch
    if isinstance(batch, dict):
        inner = {key: without_rows(value) for key, value in batch.items()}
        return _alike(batch, inner)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(without_rows(part) for part in batch))
    if isinstance(batch, tuple | list):
        if not any(_holds_rows(part) for part in batch):
            return type(batch)()  # a value for each sample, such as names
        return type(batch)(without_rows(part) for part in batch)
    return batch


def _holds_rows(part: Any) -> bool:
    """Say whether a part of a batch is itself made of rows."""
    return isinstance(part, torch.Tensor | np.ndarray | dict | tuple | list)


def _alike(batch: dict[Any, Any], inner: dict[Any, Any]) -> Any:
    """Return ``inner`` as the kind of mapping that ``batch`` is, where it can be made of one."""
    try:
        return type(batch)(inner)
    except TypeError:
        return inner
