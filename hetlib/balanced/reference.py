"""The gradient of one process, from the losses of the replicas, and what others are equal to."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import nn

from hetlib.balanced.loss import weigh
from hetlib.randomness import random_states_kept

# The loss of a network for a batch, as the job computes it.
LossOf: TypeAlias = Callable[[Any, Any], torch.Tensor]


class Share(NamedTuple):
    """What a replica's gradient is made from."""

    batch: Any
    # of its loss in the gradient of one process, n_r / n
    weight: float


def trained_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights that training changes, each once, by name."""
    return {name: weight for name, weight in network.named_parameters() if weight.requires_grad}


class _Whole(nn.Module):
    """A network and its loss as one module, whose weights can be replaced for a call."""

    def __init__(self, network: nn.Module, loss_of: LossOf) -> None:
        super().__init__()
        self.network = network
        self._loss_of = loss_of

    def forward(self, batch: Any) -> torch.Tensor:
        return self._loss_of(self.network, batch)


class _Copies:
    """Copies of a network's weights, which have none of their hooks, and of its buffers."""

    def __init__(self, network: nn.Module, loss_of: LossOf) -> None:
        self._whole = _Whole(network, loss_of)
        self._weights: dict[str, torch.Tensor] = {}
        for name, weight in network.named_parameters():
            copied = weight.detach().clone()
            self._weights[f"network.{name}"] = copied.requires_grad_(weight.requires_grad)
        self._buffers: dict[str, torch.Tensor] = {}
        for name, buffer in network.named_buffers():
            self._buffers[f"network.{name}"] = buffer.detach().clone()

    @torch.enable_grad()
    def gradient(self, share: Share) -> torch.Tensor:
        """Return the gradient of a weighted loss; the copied buffers go on."""
        replaced = {**self._weights, **self._buffers}
        loss = torch.func.functional_call(self._whole, replaced, (share.batch,))
        if not loss.requires_grad:
            raise ValueError("`loss_of` returned a loss that needs no gradient")
        # at its root: BatchNorm over all replicas hands gradients from one to another
        weigh(loss, share.weight)
        trained = [weight for weight in self._weights.values() if weight.requires_grad]
        found = torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True)
        return _flat(found)


def gradient_of(network: nn.Module, loss_of: LossOf, share: Share) -> torch.Tensor:
    """Return the gradient of a weighted loss, ``(numbers,)``, float64.

    The network, its gradients, its buffers and all random numbers stay as they are.
    """
    with random_states_kept():
        return _Copies(network, loss_of).gradient(share)


def varies(network: nn.Module, loss_of: LossOf, share: Share) -> bool:
    """Say whether a second pass of the same batch gives another gradient.

    So it does where numbers are drawn at random, and where the first pass has moved what the second
    one computes with (spectral norm).
    """
    copies = _Copies(network, loss_of)
    with random_states_kept():
        first = copies.gradient(share)
        second = copies.gradient(share)
    return not first.equal(second)


def reduced_gradient(network: nn.Module) -> torch.Tensor:
    """Return the gradient that a network's weights carry, ``(numbers,)``, float64."""
    found = []
    for weight in trained_weights(network).values():
        found.append(torch.zeros_like(weight) if weight.grad is None else weight.grad)
    return _flat(found)


def _flat(gradients: Any) -> torch.Tensor:
    """Return gradients of any layout and type as one vector of float64."""
    parts = []
    for gradient in gradients:
        dense = gradient.detach().to_dense() if gradient.is_sparse else gradient.detach()
        if dense.is_complex():
            dense = torch.view_as_real(dense)
        parts.append(dense.flatten().double())
    return torch.cat(parts)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the relative error; infinite for NaN."""
    error = float((found - expected).norm() / expected.norm().clamp(min=1e-300))
    return error if math.isfinite(error) else math.inf


def likely_reason(
    reduced: torch.Tensor, parts: list[torch.Tensor], weights: list[float], allowed: float
) -> str:
    """Return what most likely makes a gradient differ: what it is equal to instead."""
    expected = torch.stack(parts).sum(0)
    if not expected.any():
        return "`loss_of` gives no gradient; compute it with the network that it is called with."
    other = (
        "Does anything else scale gradients (a hook of DDP or of a weight), does `loss_of` compute "
        "another loss, or were they not zero at first?"
    )
    if len(parts) != len(weights) or len(parts) == 1:
        return other
    replicas = len(parts)
    whole = [
        part / w if w else torch.zeros_like(part) for part, w in zip(parts, weights, strict=True)
    ]
    plain = torch.stack(whole).sum(0) / replicas
    squared = sum(part * w * replicas for part, w in zip(parts, weights, strict=True))
    is_alike = partial(_is_alike, reduced, max(allowed, 1e-6))
    if is_alike(plain):
        return "It is the plain mean over the replicas: balance the loss before its backward pass."
    if is_alike(squared):
        return "The losses were weighted twice: balance each loss once."
    if is_alike(expected / replicas):
        return "It is that of one process over the number of replicas: is a sum averaged?"
    return other


def _is_alike(found: torch.Tensor, allowed: float, expected: Any) -> bool:
    return relative_error(found, expected) <= allowed
