r"""Batch statistics that are right under uneven local batches, on any device.

A replica's BatchNorm sees its local batch alone, and under DDP only rank 0's running statistics survive. With m_r
values a channel on replica r, of mean :math:`\mu_r` and variance :math:`v_r`, all m together have

.. math:: \mu = \sum_r m_r \mu_r / m, \quad v = \sum_r m_r (v_r + (\mu_r - \mu)^2) / m

(law of total variance; Chan, Golub, LeVeque 1983). A weighted mean of the v_r alone loses the second term.
"""

from functools import lru_cache
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

ALONE: Any = dist.GroupMember.NON_GROUP_MEMBER  # as the process group: no other replica


class BalancedBatchNorm(_BatchNorm):
    """BatchNorm over the global batch: one small all-reduce each way, in which all replicas take part in training."""

    process_group: Any = None  # None: the default group

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"process_group": None}  # a group can be neither copied nor pickled

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training or not dist.is_initialized() or dist.get_world_size(self.process_group) < 2:
            return super().forward(input)
        self._check_input_dim(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        y, mean, var = Normalize.apply(x, self.weight, self.bias, (len(x),), self.eps, self.process_group)
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            rate = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean[0].to(self.running_mean), rate)
            self.running_var.lerp_(var[0].to(self.running_var), rate)
        return y.to(input.dtype)


_PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_BALANCED: dict[Any, Any] = {kind: type(f"Balanced{kind.__name__}", (BalancedBatchNorm, kind), {}) for kind in _PLAIN}
BalancedBatchNorm1d, BalancedBatchNorm2d, BalancedBatchNorm3d = _BALANCED.values()


def convert_batchnorm(model: nn.Module, process_group: Any = None) -> nn.Module:
    """Make each BatchNorm layer of ``model`` a `BalancedBatchNorm`, in place (parameters, buffers, hooks stay).

    All replicas run the same layers in the same order. The loss is the mean over the replica's own samples, under
    `hetlib.balance`; gradients of the layer's parameters are local sums, for DDP to reduce. ``process_group`` may be
    DDP's; ``None`` is the default one. Raises ``TypeError`` for a layer that is not torch's own 1d, 2d or 3d.
    """
    for name, layer in [(n, m) for n, m in model.named_modules() if isinstance(m, _BatchNorm)]:
        if type(layer) not in (*_BALANCED, *_BALANCED.values()):
            raise TypeError(f"layer {name!r} is a {type(layer).__name__}; use torch's own BatchNorm1d, 2d or 3d there.")
        layer.__class__ = _BALANCED.get(type(layer), type(layer))
        layer.process_group = process_group
    return model


def pool_batchnorm(model: nn.Module, process_group: Any = None, *, samples: float = 1.0) -> None:
    """Give all replicas of ``model`` the running statistics of all samples, by one collective that every rank joins.

    ``samples`` is the weight of this replica: its share, or the samples that it saw. Raises ``ValueError`` on every
    rank when a weight is negative or not finite, or all are 0.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.running_mean is not None]
    if not layers or not dist.is_initialized() or dist.get_world_size(process_group) < 2:
        return
    both: Any = [[layer.running_mean for layer in layers], [layer.running_var for layer in layers]]
    counts, *pooled = _pooled(samples, torch.cat(both[0]), torch.cat(both[1]), process_group)
    if not (counts.isfinite() & (counts >= 0)).all() or not counts.any():
        raise ValueError(f"`samples` by rank is {counts.tolist()}; each must be finite and >= 0, and one > 0.")
    torch._foreach_copy_([*both[0], *both[1]], torch.cat(pooled).split([layer.num_features for layer in layers] * 2))


def _pooled(count: Any, mean: torch.Tensor, var: torch.Tensor, group: Any) -> tuple[torch.Tensor, ...]:
    """Return each replica's count, and mean and variance of all values, in float64."""
    rows = mean.new_zeros(dist.get_world_size(group), 1 + 2 * len(mean), dtype=torch.float64)
    rows[dist.get_rank(group)] = torch.cat([rows.new_tensor([count]), mean, var])
    dist.all_reduce(rows, group=group)  # of rows that are 0 elsewhere: a gather that gloo has for CUDA tensors too
    return rows[:, 0], *total_variance(rows[:, :1], *rows[:, 1:].tensor_split(2, dim=1))


def total_variance(counts: torch.Tensor, means: torch.Tensor, variances: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return mean and variance of all values from the replicas' ``(P, channels)``; counts are ``(P, 1)``."""
    mean = (counts * means).sum(0) / counts.sum()
    return mean, (counts * (variances + (means - mean).square())).sum(0) / counts.sum()


@lru_cache(maxsize=64)  # layers of one size share it, step after step
def _layout(counts: tuple[int, ...], pixels: int, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Return the segment of each sample ``(n,)``, and the values a channel of each segment, or 1, ``(segments, 1)``."""
    samples = torch.tensor(counts, device=device)
    return torch.repeat_interleave(samples), (samples * pixels).clamp(min=1)[:, None].to(dtype)


class Normalize(torch.autograd.Function):
    """Normalise (Ioffe, Szegedy, arXiv 1502.03167) each segment by itself, or the one segment by its whole group."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: Any, bias: Any, counts: Any, eps: float, group: Any) -> Any:
        space, pixels, dtype = tuple(range(2, x.dim())), x.shape[2:].numel(), x.dtype
        owner, m = _layout(counts, pixels, x.device, dtype)

        def total(t: torch.Tensor) -> torch.Tensor:  # (n, channels, ...) to (segments, channels)
            each = t.sum(space) if space else t
            return each.sum(0, True) if len(m) == 1 else each.new_zeros(len(m), t.shape[1]).index_add_(0, owner, each)

        def spread(t: torch.Tensor) -> torch.Tensor:  # and back
            return (t if len(t) == 1 else t.index_select(0, owner)).to(dtype).reshape(-1, t.shape[1], *[1] * len(space))

        center = total(x) / m
        x = x - spread(center)  # so that a mean of many standard deviations costs no digits from here on
        y = x.square()
        offset, var = total(x) / m, total(y) / m  # offset: what rounding left of the mean
        mean = center + offset
        if group is not ALONE:
            values, *both = _pooled(counts[0] * pixels, center[0].double() + offset[0], var[0], group)
            m, mean, var = values.sum().reshape(1, 1), both[0][None], both[1][None]
            offset = mean - center
        if min(counts) * pixels < 2 and m.min() < 2:  # in this order a GPU need not be waited for
            raise ValueError(f"BatchNorm got {m.min():g} value a channel (local batches {[*counts]}); use larger ones.")
        invstd = torch.rsqrt(var + eps)
        scale = invstd if weight is None else invstd * weight
        shift = -offset * scale if bias is None else bias - offset * scale
        ctx.save_for_backward(x, offset, invstd, scale, wide := spread(scale))
        ctx.total, ctx.spread, ctx.group, ctx.m = total, spread, group, m
        var = var * (m / (m - 1))  # unbiased
        ctx.mark_non_differentiable(mean, var)
        return torch.addcmul(spread(shift), x, wide, out=y), mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor, *_: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, offset, invstd, scale, wide = ctx.saved_tensors
        sum_dy = ctx.total(dy)
        dx = dy * x
        sum_dy_xhat = (ctx.total(dx) - offset * sum_dy) * invstd
        own = sum_dy_xhat.sum(0), sum_dy.sum(0)
        if ctx.group is not ALONE:
            sum_dy, sum_dy_xhat = sums = torch.stack([sum_dy, sum_dy_xhat]).double()
            dist.all_reduce(sums, group=ctx.group)
        per_value = scale / -ctx.m
        of_x = per_value * invstd * sum_dy_xhat
        constant = per_value * sum_dy - of_x * offset
        torch.addcmul(ctx.spread(constant), x, ctx.spread(of_x), out=dx).addcmul_(dy, wide)
        wanted = (g if needed else None for g, needed in zip((dx, *own), ctx.needs_input_grad, strict=False))
        return *wanted, None, None, None
