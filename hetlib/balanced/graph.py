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
# Operations between a loss and the scaled, summed, averaged or bounded one that is made of it.
_ARITHMETIC = frozenset(
    [
        *("Add", "Sub", "Mul", "Div", "Neg", "Sum", "Mean", "Cat", "Stack", "Index", "Select"),
        *("Alias", "Clone", "Expand", "Squeeze", "ToCopy", "Unsqueeze", "View"),
        *("Clamp", "ClampMax", "ClampMin", "Exp", "Log", "Maximum", "Minimum", "NanToNum"),
        *("Pow", "Split", "Sqrt", "Unbind", "Where"),
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
        # losses of one `unbind` have one node
        node.metadata.setdefault(_MARK, set()).add(loss.output_nr)


def is_marked(loss: torch.Tensor) -> bool:
    """Say whether a loss, or one that it was scaled, summed or averaged from, is weighted.

    Args:
        loss: Any tensor.
    """
    results = _results(loss, only=_ARITHMETIC)
    return any(number in node.metadata.get(_MARK, ()) for node, number in results)


def _nodes(loss: torch.Tensor) -> Iterator[Any]:
    """Yield the nodes below a tensor, its own first, each once."""
    seen = set()
    for node, _ in _results(loss):
        if node not in seen:
            seen.add(node)
            yield node


def _results(loss: torch.Tensor, only: Collection[str] | None = None) -> Iterator[tuple[Any, int]]:
    """Yield the results below a tensor, itself first: their node, and the number among its results.

    Args:
        loss: Any tensor.
        only: Go through such operations alone; ``None``: through all.
    """
    waiting: list[tuple[Any, int]] = [(loss.grad_fn, loss.output_nr)]
    seen: set[tuple[Any, int]] = set()
    while waiting:
        result = waiting.pop()
        node, _ = result
        if node is None or result in seen:
            continue
        seen.add(result)
        yield result
        if only is None or _operation(node) in only:
            waiting.extend(node.next_functions)


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


def _is_finite(gradient: torch.Tensor) -> bool:
    values = gradient._values() if gradient.is_sparse else gradient
    return bool(torch.isfinite(values).all())


def _require_finite(places: list[int], towards_weights: Any, from_loss: Any) -> None:
    for place in places:
        gradient = towards_weights[place]
        if gradient is not None and not _is_finite(gradient):
            raise RuntimeError(
                "the count of this replica is 0 and its loss divides by it: the gradient 0 becomes "
                "NaN below the loss; divide by max(count, 1), or leave the division to a loss of "
                "torch. Where weights multiply the loss over nothing, which is NaN, make the "
                "loader with empty='sample'."
            )
