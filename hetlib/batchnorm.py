r"""Batch statistics that are right under uneven local batches, on any device.

A replica's BatchNorm sees its local batch alone, and under DDP only rank 0's running statistics survive.
`convert_batchnorm` makes the layers normalise by the global batch; `pool_batchnorm` is cheaper and pools the running
statistics alone. With m_r values a channel of mean :math:`\mu_r` and variance :math:`v_r` on replica r, all m have

.. math:: \mu = \sum_r m_r \mu_r / m, \quad v = \sum_r m_r (v_r + (\mu_r - \mu)^2) / m

(law of total variance; Chan, Golub, LeVeque 1983). A weighted mean of the v_r alone loses the second term.
"""

from functools import lru_cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["ALONE", "BalancedBatchNorm", "Normalize", "convert_batchnorm", "pool_batchnorm", "total_variance"]

Module = TypeVar("Module", bound=nn.Module)
ALONE: Any = dist.GroupMember.NON_GROUP_MEMBER  # as the process group: no other replica


class BalancedBatchNorm(_BatchNorm):
    """BatchNorm over the global batch: one small all-reduce each way, in which all replicas take part in training."""

    process_group: Any = None  # None: the default group

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"process_group": None}  # a group can be neither copied nor pickled

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        group: Any = self.process_group
        if not self.training or not dist.is_initialized() or dist.get_world_size(group) < 2:
            return super().forward(input)
        self._check_input_dim(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        y, m, mean, var = Normalize.apply(x, self.weight, self.bias, (len(x),), self.eps, group)
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            rate = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean[0].to(self.running_mean), rate)
            self.running_var.lerp_((var * (m / (m - 1)))[0].to(self.running_var), rate)
        return y.to(input.dtype)


class BalancedBatchNorm1d(BalancedBatchNorm, nn.BatchNorm1d): ...


class BalancedBatchNorm2d(BalancedBatchNorm, nn.BatchNorm2d): ...


class BalancedBatchNorm3d(BalancedBatchNorm, nn.BatchNorm3d): ...


_BALANCED = {kind.__bases__[1]: kind for kind in (BalancedBatchNorm1d, BalancedBatchNorm2d, BalancedBatchNorm3d)}


def convert_batchnorm(model: Module, process_group: Any = None) -> Module:
    """Make each BatchNorm layer a `BalancedBatchNorm`, in place (parameters, buffers, hooks stay); return the model.

    Every rank calls this, and all run the same layers in the same order. The loss is the mean over the replica's own
    samples, under `hetlib.balance`. Gradients of the layer's parameters are local sums, for DDP to reduce.

    Args:
        model: Any module.
        process_group: The replicas. ``None`` makes a gloo group of all ranks for the layers alone, since on DDP's
            group they would queue behind its buckets; with NCCL it is the default group.

    Raises:
        TypeError: For a layer derived from BatchNorm that is not torch's own 1d, 2d or 3d.
    """
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, _BatchNorm)}
    for name, layer in layers.items():
        if type(layer) not in _BALANCED and not isinstance(layer, BalancedBatchNorm):
            kinds = [kind.__name__ for kind in _BALANCED]
            raise TypeError(f"layer {name!r} is a {type(layer).__name__}; allowed are {kinds}: replace it first.")
    if process_group is None and dist.is_initialized() and dist.get_backend() == "gloo":
        process_group = dist.new_group()
    for layer in layers.values():
        layer.__class__ = _BALANCED.get(type(layer), type(layer))
        layer.process_group = process_group
    return model


def pool_batchnorm(model: nn.Module, process_group: Any = None, *, samples: float = 1.0) -> None:
    """Give all replicas the running statistics of all samples, in one collective for all layers; every rank calls it.

    Args:
        model: Any module; layers without running statistics are left alone.
        process_group: The replicas; ``None`` is the default group.
        samples: Weight of this replica: its share, or the samples that it saw.

    Raises:
        ValueError: On every rank, when a weight is negative or not finite, or all are 0.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.running_mean is not None]
    if not layers or not dist.is_initialized() or dist.get_world_size(process_group) < 2:
        return
    both: Any = [[layer.running_mean for layer in layers], [layer.running_var for layer in layers]]
    counts, *pooled = _pooled(samples, torch.cat(both[0]), torch.cat(both[1]), process_group)
    if not (counts.isfinite() & (counts >= 0)).all() or not counts.any():
        raise ValueError(f"`samples` by rank is {counts.tolist()}; each must be finite and >= 0, and one > 0.")
    for kept, values in zip(both, pooled, strict=True):
        torch._foreach_copy_(kept, values.to(kept[0].dtype).split([len(old) for old in kept]))


def _pooled(count: Any, mean: torch.Tensor, var: torch.Tensor, group: Any) -> tuple[torch.Tensor, ...]:
    """Return each replica's count, and the mean and variance of all values, in float64."""
    rows = mean.new_zeros(dist.get_world_size(group), 1 + 2 * len(mean), dtype=torch.float64)
    rows[dist.get_rank(group)] = torch.cat([rows.new_tensor([count]), mean, var])
    # The other rows are 0, so the sum is a gather, and the one that gloo has for CUDA tensors too.
    dist.all_reduce(rows, group=group)
    return rows[:, 0], *total_variance(rows[:, :1], *rows[:, 1:].tensor_split(2, dim=1))


def total_variance(counts: torch.Tensor, means: torch.Tensor, variances: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return mean and variance of all values from the replicas' ``(P, channels)``; counts are ``(P, 1)``."""
    mean = (counts * means).sum(0) / counts.sum()
    return mean, (counts * (variances + (means - mean).square())).sum(0) / counts.sum()


@lru_cache(maxsize=32)  # the layers of a net share them
def _members(counts: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the segment of each sample, ``(n,)``, and the matrix that sums over segments, ``(segments, n)``."""
    owner = torch.repeat_interleave(torch.tensor(counts))
    return owner.to(device), (owner == torch.arange(len(counts))[:, None]).to(device, dtype)


class Normalize(torch.autograd.Function):
    """Normalise each segment of a batch by its own statistics, or the one segment by those of its whole group.

    Ioffe and Szegedy (arXiv 1502.03167), with sums per sample, one small product to segments, one affine pass.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: Any, bias: Any, counts: Any, eps: float, group: Any) -> Any:
        owner, member = _members(counts, x.device, x.dtype)
        space, pixels = tuple(range(2, x.dim())), x.shape[2:].numel()

        def total(t: torch.Tensor) -> torch.Tensor:  # (n, channels, ...) to (segments, channels)
            with torch.autocast(t.device.type, enabled=False):
                return member @ (t.sum(space) if space else t)

        def spread(t: torch.Tensor) -> torch.Tensor:  # and back
            t = t.to(x.dtype)
            return (t if len(t) == 1 else t.index_select(0, owner)).reshape(-1, t.shape[1], *[1] * len(space))

        m = x.new_tensor(counts)[:, None] * pixels
        mean = total(x) / m.clamp(min=1)
        # The squared differences, in one pass.
        var = total(F.mse_loss(x, spread(mean).expand_as(x), reduction="none")) / m.clamp(min=1)
        if group is not ALONE:
            values, *both = _pooled(counts[0] * pixels, mean[0], var[0], group)
            m, mean, var = values.sum().reshape(1, 1), both[0][None], both[1][None]
        if min(counts) * pixels < 2 and m.min() < 2:  # in this order a GPU need not be waited for
            raise ValueError(f"BatchNorm got {m.min():g} value a channel (local batches {[*counts]}); use larger ones.")
        invstd = torch.rsqrt(var + eps)
        scale = invstd if weight is None else invstd * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        ctx.save_for_backward(x, mean, invstd, scale, m)
        ctx.total, ctx.spread, ctx.group = total, spread, group
        ctx.mark_non_differentiable(m, mean, var)
        return torch.addcmul(spread(shift), x, spread(scale)), m, mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor, *_: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, mean, invstd, scale, m = ctx.saved_tensors
        sum_dy = ctx.total(dy)
        sum_dy_xhat = (ctx.total(dy * x) - mean * sum_dy) * invstd
        has_x, has_weight, has_bias = ctx.needs_input_grad[:3]
        own = sum_dy_xhat.sum(0) if has_weight else None, sum_dy.sum(0) if has_bias else None, None, None, None
        if not has_x:
            return None, *own
        if ctx.group is not ALONE:
            sum_dy, sum_dy_xhat = sums = torch.stack([sum_dy, sum_dy_xhat]).double()
            dist.all_reduce(sums, group=ctx.group)
        of_x = -scale * invstd * sum_dy_xhat / m
        constant = -scale * sum_dy / m - of_x * mean
        return torch.addcmul(ctx.spread(constant), x, ctx.spread(of_x)).addcmul_(dy, ctx.spread(scale)), *own
