"""Batch statistics under uneven local batches.

`segment_batchnorm` is for virtual replicas: the whole global batch goes through in one pass, and each
replica's segment of it is normalised by its own statistics, as in its own process.
"""

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["segment_batchnorm"]


def segment_batchnorm(model: nn.Module, segments: list[int]) -> nn.Module:
    """Make each BatchNorm layer take its training statistics per segment, and rank 0's for evaluation.

    ``segments`` is the caller's list of the local batches of the current step, to be filled before each; while it is
    empty the whole batch is one.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            # The layer's weights and buffers stay where they are, so that checkpoints fit.
            module.forward = partial(_forward, module, segments)  # type: ignore[method-assign]
    return model


def _forward(layer: _BatchNorm, segments: list[int], x: torch.Tensor) -> torch.Tensor:
    counts = [n for n in segments if n]
    if not layer.training or not counts:
        return type(layer).forward(layer, x)
    pixels = x[0, 0].numel()
    if min(counts) * pixels == 1:
        raise ValueError(f"BatchNorm got one value per channel (local batches {segments}); use larger ones.")
    y, mean, var = _SegmentNorm.apply(x, layer.weight, layer.bias, counts, layer.eps)
    tracked: Any = (layer.running_mean, layer.running_var, layer.num_batches_tracked)
    if tracked[0] is not None and segments[0]:
        # DDP keeps rank 0's running statistics, which have seen that replica's samples alone.
        m = counts[0] * pixels
        running_mean, running_var, batches = tracked
        batches.add_(1)
        momentum = 1 / float(batches) if layer.momentum is None else layer.momentum
        running_mean.lerp_(mean[0], momentum)
        running_var.lerp_(var[0] * (m / (m - 1)), momentum)
    return y


class _SegmentNorm(torch.autograd.Function):
    """Normalise segments of a batch: sums per sample, one small product to segments, one affine pass."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,  # (n, channels, ...)
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        counts: list[int],
        eps: float,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        space, tail = tuple(range(2, x.dim())), (1,) * (x.dim() - 2)
        owner = torch.repeat_interleave(torch.tensor(counts))  # (n,) segment of each sample
        member = torch.zeros(len(counts), len(owner), dtype=x.dtype)
        member[owner, torch.arange(len(owner))] = 1
        size = torch.tensor(counts, dtype=x.dtype)[:, None]
        var_i, mean_i = torch.var_mean(x, space, correction=0) if space else (torch.zeros_like(x), x)  # (n, channels)
        mean = member @ mean_i / size  # (segments, channels)
        var = member @ (var_i + (mean_i - mean[owner]).square()) / size
        invstd = torch.rsqrt(var + eps)
        scale = invstd[owner] if weight is None else (invstd * weight)[owner]
        shift = -mean[owner] * scale if bias is None else bias - mean[owner] * scale
        ctx.save_for_backward(x, mean, invstd, scale, owner, member, size)
        ctx.space, ctx.tail, ctx.pixels = space, tail, x[0, 0].numel()
        ctx.affine = (weight is not None, bias is not None)
        y = torch.addcmul(shift.reshape(*shift.shape, *tail), x, scale.reshape(*scale.shape, *tail))
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor, *_: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, mean, invstd, scale, owner, member, size = ctx.saved_tensors
        sum_dy = member @ (dy.sum(ctx.space) if ctx.space else dy)  # (segments, channels)
        sum_dy_x = member @ ((dy * x).sum(ctx.space) if ctx.space else dy * x)
        sum_dy_xhat = (sum_dy_x - mean * sum_dy) * invstd
        m = size * ctx.pixels
        of_x = -scale * (invstd * sum_dy_xhat / m)[owner]
        constant = -scale * (sum_dy / m)[owner] - of_x * mean[owner]
        full = lambda t: t.reshape(*t.shape, *ctx.tail)  # noqa: E731
        dx = torch.addcmul(full(constant), x, full(of_x)).addcmul_(dy, full(scale))
        has_weight, has_bias = ctx.affine
        return dx, sum_dy_xhat.sum(0) if has_weight else None, sum_dy.sum(0) if has_bias else None, None, None
