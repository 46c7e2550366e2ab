"""Batches of any number of samples, made of one example, and what a model does with them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from hetlib.balanced.batches import parts_of
from hetlib.balanced.checks import differentiable
from hetlib.balanced.emptied import changed_mapping, changed_object, changed_sequence

# Returns the loss of a model on a batch.
Loss: TypeAlias = Callable[[nn.Module, Any], torch.Tensor]


class Example:
    """Batches in the form of an example.

    Tensors and arrays have a row a sample; all else (a number, a 0-d tensor, a name) is the same
    for all samples.

    Args:
        batch: Tensors in mappings, dataclasses, objects, tuples and lists; or a function of a
            number of samples that returns such a batch, where samples are no rows.

    Raises:
        ValueError: The batch holds no rows, or its tensors have different numbers of them.
    """

    def __init__(self, batch: Any) -> None:
        """Refuse a batch of which nobody knows how many samples it has."""
        self._batch = batch
        self._is_made = callable(batch) and not isinstance(batch, torch.Tensor)
        if self._is_made:
            return
        rows = {_rows_in(tensor) for tensor in tensors(batch) if tensor.ndim}
        if len(rows) != 1 or rows <= {0, None}:
            raise ValueError(
                f"`example_batch` has tensors of {sorted(rows, key=str)} rows; allowed is one "
                "number >= 1. Where samples are no rows, give a function of the number of samples "
                "that returns a batch."
            )

    def of(self, samples: int) -> Any:
        """Return a batch of so many samples; it starts again where the example ends."""
        if self._is_made:
            return self._batch(samples)
        return _with_rows(self._batch, samples)


def tensors(batch: Any) -> Iterator[torch.Tensor | np.ndarray]:
    """Return the tensors and arrays of a batch, of any dimension.

    Args:
        batch: Tensors and arrays in mappings, dataclasses, tuples and lists.
    """
    if isinstance(batch, torch.Tensor | np.ndarray):
        yield batch
    elif isinstance(batch, Mapping):
        yield from _all_tensors(batch.values())
    elif isinstance(batch, list | tuple):
        yield from _all_tensors(batch)
    else:
        yield from _all_tensors(parts_of(batch).values())


def _rows_in(tensor: torch.Tensor | np.ndarray) -> int | None:
    """Return the rows of a tensor; ``None`` for a nested one, which cannot be indexed by them."""
    if isinstance(tensor, torch.Tensor) and tensor.is_nested:
        return None
    return len(tensor)


def _all_tensors(parts: Any) -> Iterator[torch.Tensor | np.ndarray]:
    for part in parts:
        yield from tensors(part)


def _with_rows(batch: Any, samples: int) -> Any:
    """Return a batch with so many rows in place of those that it has."""
    if isinstance(batch, torch.Tensor):
        return _rows_of_tensor(batch, samples)
    if isinstance(batch, np.ndarray):
        return batch[np.arange(samples) % len(batch)] if batch.ndim else batch.copy()
    if isinstance(batch, Mapping):
        entries = {key: _with_rows(value, samples) for key, value in batch.items()}
        return changed_mapping(batch, entries)
    if isinstance(batch, list | tuple):
        return changed_sequence(batch, [_with_rows(part, samples) for part in batch])
    parts = parts_of(batch)
    return changed_object(batch, {name: _with_rows(part, samples) for name, part in parts.items()})


def _rows_of_tensor(tensor: torch.Tensor, samples: int) -> torch.Tensor:
    """Return rows of a tensor, as a leaf: no gradient comes back to the example."""
    if not tensor.ndim:
        # a copy, which the model may change
        return tensor.detach().clone().requires_grad_(tensor.requires_grad)
    numbers = torch.arange(samples, device=tensor.device)
    # sparse ones know this way alone
    rows = tensor.detach().index_select(0, numbers % len(tensor))
    return rows.requires_grad_(tensor.requires_grad)


def outputs_of(model: nn.Module, batch: Any) -> Any:
    """Return what a model makes of a batch, given as a training loop would.

    Args:
        model: Any.
        batch: The entries of a mapping are keywords, those of a tuple are positional, anything else
            is the only argument.
    """
    if isinstance(batch, Mapping):
        return model(**batch)
    if isinstance(batch, tuple):
        return model(*batch)
    return model(batch)


def mean_square(model: nn.Module, batch: Any) -> torch.Tensor:
    """Return a loss of any model that reaches all its outputs: the sum of their mean squares.

    Args:
        model: Any whose outputs hold a tensor that needs a gradient.
        batch: As for `outputs_of`.

    Raises:
        ValueError: No output needs a gradient.
    """
    squares = []
    for output in differentiable(outputs_of(model, batch)):
        size = output.abs() if output.is_complex() else output
        squares.append(size.float().square().mean())
    if not squares:
        raise ValueError("the model returns no tensor that needs a gradient; give plan a `loss`")
    return torch.stack(squares).sum()
