r"""The letter's idea: gradients weighted by the samples that each replica actually processed.

With the mean gradient :math:`g_r` of the :math:`n_r` samples of replica r, data-parallel training uses

.. math:: g = \sum_r w_r g_r.

The gradient of one process on the whole global batch is the one with :math:`w_r = n_r / n`, where
:math:`n = \sum_r n_r` (``"samples"``, the balanced gradient: Moreno-Alvarez et al., GRSL 2022). The usual
plain mean takes :math:`w_r = 1 / P` (``"mean"``); weights by speed are :math:`w_r = s_r / \sum s`
(``"speed"``).
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from .sampler import BalancedSampler

__all__ = ["WEIGHTINGS", "balance", "effective_batch", "replica_weights", "scale_gradient"]

Module = TypeVar("Module", bound=nn.Module)
WEIGHTINGS = ("samples", "mean", "speed")


def replica_weights(counts: Sequence[int], weighting: str, speeds: Sequence[float] | None = None) -> np.ndarray:
    """Return the weight w_r of each replica's mean gradient.

    Args:
        counts: Samples that each replica processed in this step.
        weighting: ``"samples"`` (n_r / n), ``"mean"`` (1 / P) or ``"speed"`` (s_r / sum s).
        speeds: Speed of each replica, for ``"speed"`` alone.

    Returns:
        Float64 weights ``(P,)``.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"`weighting` is {weighting!r}; allowed are {WEIGHTINGS}.")
    if weighting == "speed" and len(speeds or ()) != len(counts):
        raise ValueError(f"`speeds` is {speeds!r}; 'speed' needs one speed for each of {len(counts)} replicas.")
    weights = {"samples": counts, "mean": np.ones(len(counts)), "speed": speeds}[weighting]
    return np.asarray(weights, dtype=np.float64) / np.sum(weights)  # type: ignore[arg-type]


def effective_batch(counts: Sequence[int], weights: Sequence[float] | np.ndarray | None = None) -> float:
    r"""Return the batch whose plain gradient has the same variance as the weighted one.

    For samples drawn independently, :math:`\mathrm{Var}(\sum_r w_r g_r) = \sigma^2 \sum_r w_r^2 / n_r`, so
    :math:`B_\mathrm{eff} = (\sum_r w_r)^2 / \sum_r (w_r^2 / n_r)`; for the plain mean that is
    :math:`P^2 / \sum_r (1 / n_r)`. Replicas without samples contribute nothing and are left out.

    ``weights`` are those of the replicas' mean gradients; ``None`` is the plain mean.

    >>> round(effective_batch([224, 32]))
    112
    """
    n = np.asarray(counts, dtype=np.float64)
    w = np.ones_like(n) if weights is None else np.asarray(weights, dtype=np.float64)
    used = n > 0
    return float(w[used].sum() ** 2 / (w[used] ** 2 / n[used]).sum())


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] * ctx.factor, None


def scale_gradient(outputs: Any, factor: float) -> Any:
    """Return ``outputs`` unchanged, with the gradient that flows back through them times ``factor``."""
    if factor == 1:
        return outputs
    return tree_map(
        lambda o: _ScaleGradient.apply(o, factor) if isinstance(o, torch.Tensor) and o.requires_grad else o, outputs
    )


def balance(model: Module, sampler: BalancedSampler) -> Module:
    """Make a ``DistributedDataParallel`` model reduce the balanced gradient.

    DDP sums the replicas' gradients and divides by P. The gradient of each replica is linear in the
    gradient of its outputs, so scaling that small tensor by P n_r / n is all there is to do: no extra pass
    over the gradients, and DDP's buckets and overlap stay as they are. The loss must be the mean over
    the replica's samples, as ever.

    The model is changed in place and returned. The sampler is the one that deals its batches: it knows every n_r.

    Raises:
        RuntimeError: In a forward pass in training mode, when the batch is not the one that was dealt.
    """
    if not isinstance(sampler, BalancedSampler):
        raise TypeError(f"`sampler` is a {type(sampler).__name__}; pass the BalancedSampler that deals the batches.")
    if not isinstance(model, nn.parallel.DistributedDataParallel):
        raise TypeError(f"`model` is a {type(model).__name__}; wrap it first in DistributedDataParallel.")

    def weigh(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], outputs: Any) -> Any:
        if not (module.training and torch.is_grad_enabled()):
            return None
        size = next(leaf.shape[0] for leaf in tree_leaves((inputs, keywords)) if isinstance(leaf, torch.Tensor))
        if not sampler.dealt or sampler.dealt[0][sampler.rank] != size:
            expected = sampler.dealt[0][sampler.rank] if sampler.dealt else "no step"
            raise RuntimeError(
                f"replica {sampler.rank} got a batch of {size}, but the sampler dealt {expected}; take the batches "
                "from a DataLoader(..., batch_sampler=sampler) and run one forward pass in training mode for each."
            )
        counts = sampler.dealt.popleft()
        return scale_gradient(outputs, len(counts) * replica_weights(counts, "samples")[sampler.rank])

    model.register_forward_hook(weigh, with_kwargs=True)
    return model
