"""BatchNorm for virtual replicas: the global batch goes through in one pass, each replica's segment by its own."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .batchnorm import ALONE, BalancedBatchNorm, Normalize, total_variance


def segment_batchnorm(model: nn.Module, segments: list[int]) -> nn.Module:
    """Make each BatchNorm layer take its training statistics per segment, and rank 0's for evaluation.

    ``segments`` is the caller's list of local batches, to be filled before each step; while it is empty the whole batch
    is one. A `BalancedBatchNorm` stays as it is: it takes the statistics of the whole batch.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm) and not isinstance(module, BalancedBatchNorm):
            # The layer's weights and buffers stay where they are, so that checkpoints fit.
            module.forward = partial(_forward, module, segments, [])  # type: ignore[method-assign]
    return model


def pool_segments(model: nn.Module, shares: Sequence[int]) -> None:
    """Do for virtual replicas what `pool_batchnorm` does for processes: pool the running statistics by ``shares``."""
    for module in model.modules():
        if isinstance(module.forward, partial) and (kept := module.forward.args[2]):
            counts = torch.tensor(shares, dtype=torch.float64)[:, None]
            for rows, pooled in zip(kept, total_variance(counts, kept[0].double(), kept[1].double()), strict=False):
                rows.copy_(pooled.expand_as(rows))


def _forward(layer: _BatchNorm, segments: list[int], kept: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """``kept``: running mean and variance ``(P, channels)`` and batches ``(P,)`` of all replicas, once known."""
    counts = tuple(n for n in segments if n)
    if not layer.training or not counts:
        return type(layer).forward(layer, x)
    y, mean, var = Normalize.apply(x, layer.weight, layer.bias, counts, layer.eps, ALONE)
    if layer.running_mean is not None and layer.running_var is not None and layer.num_batches_tracked is not None:
        if not kept:
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                kept.append(torch.stack([getattr(layer, name)] * len(segments)))
                setattr(layer, name, kept[-1][0])  # what DDP keeps: rank 0's, which saw its own samples alone
        used = slice(None) if all(segments) else torch.tensor(segments) > 0
        kept[2][used] += 1
        rate = 1 / kept[2][used][:, None].to(x.dtype) if layer.momentum is None else layer.momentum
        for rows, new in zip(kept, (mean, var), strict=False):
            rows[used] = rows[used].lerp_(new, rate)  # in place where all are used
    return y
