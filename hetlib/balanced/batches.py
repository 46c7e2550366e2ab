"""Batches of a data loader where a replica's share may be 0."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch
from torch.utils._pytree import tree_map
from torch.utils.data import Dataset, default_collate

Merge: TypeAlias = Callable[[list[Any]], Any]


def collate(data: Dataset[Any], merge: Merge = default_collate) -> Merge:
    """Make a ``collate_fn`` that also takes an empty batch, which becomes tensors without rows.

    Args:
        data: The data set; its first sample shows what a batch looks like.
        merge: What makes a batch of a list of samples.

    Returns:
        A function for ``DataLoader(collate_fn=...)``.
    """
    return partial(_merge, data, merge)


def _merge(data: Dataset[Any], merge: Merge, samples: list[Any]) -> Any:
    if samples:
        return merge(samples)
    one = merge([data[0]])
    return tree_map(_without_rows, one)


def _without_rows(leaf: Any) -> Any:
    if isinstance(leaf, torch.Tensor):
        return leaf[:0]
    return leaf
