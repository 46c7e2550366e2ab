"""What the graph of a loss tells: whether it was weighted before, and what lies below it."""

import re
from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

import torch
from torch.nn.modules._functions import SyncBatchNorm

from hetlib.balanced.normalize import Normalize

# on the node of a loss
_MARK = "hetlib: balanced"
# Operations between a loss and the scaled, summed or averaged one that a framework makes of it.
_ARITHMETIC = frozenset(
    [
        *("Add", "Sub", "Mul", "Div", "Neg", "Sum", "Mean", "Cat", "Stack", "Index", "Select"),
        *("Alias", "Clone", "Expand", "Squeeze", "ToCopy", "Unsqueeze", "View"),
    ]
)
_NAME = re.compile(r"(\w+?)Backward\d*$")


def mark(loss: torch.Tensor) -> None:
    """Note that a loss is weighted.

    Args:
        loss: With a gradient function.
    """
    node: Any = loss.grad_fn
    if node is not None:
        node.metadata[_MARK] = True


def is_marked(loss: torch.Tensor) -> bool:
    """Say whether a loss, or one that it was scaled, summed or averaged from, is weighted.

    Args:
        loss: Any tensor.
    """
    return any(_MARK in node.metadata for node in _nodes(loss, only=_ARITHMETIC))


def _nodes(loss: torch.Tensor, only: Collection[str] | None = None) -> Iterator[Any]:
    """Yield the nodes below a tensor, itself first; ``only``: through such operations alone."""
    waiting: list[Any] = [loss.grad_fn]
    seen: set[Any] = {None}
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        if only is None or _operation(node) in only:
            waiting.extend(before for before, _ in node.next_functions)


def _operation(node: Any) -> str:
    found = _NAME.match(node.name())
    return found.group(1) if found else ""


def leaves_of(loss: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the weights below a loss.

    Args:
        loss: Any tensor.
    """
    for node in _nodes(loss):
        if hasattr(node, "variable"):
            yield node.variable


def pools_batchnorm(loss: torch.Tensor) -> bool:
    """Say whether BatchNorm over all replicas lies below a loss.

    Args:
        loss: Any tensor.
    """
    pooling = (Normalize, SyncBatchNorm)
    return any(getattr(node, "_forward_cls", None) in pooling for node in _nodes(loss))


def refuse_nan(loss: torch.Tensor) -> None:
    """Have the backward pass of a loss over nothing raise where a weight would get NaN.

    Such a loss has the gradient 0 at its root; a division by its count makes NaN of it.

    Args:
        loss: The one over nothing.
    """
    for node in _nodes(loss):
        places = [
            place
            for place, (before, _) in enumerate(node.next_functions)
            if hasattr(before, "variable")
        ]
        if places:
            node.register_hook(partial(_require_finite, places))


def _require_finite(places: list[int], towards_weights: Any, from_loss: Any) -> None:
    for place in places:
        gradient = towards_weights[place]
        if gradient is not None and not bool(torch.isfinite(gradient).all()):
            raise RuntimeError(
                "the count of this replica is 0 and its loss divides by it: the gradient 0 becomes "
                "NaN below the loss; divide by max(count, 1), or leave the division to a loss of "
                "torch. Where weights multiply the loss over nothing, which is NaN, make the "
                "loader with empty='sample'."
            )
