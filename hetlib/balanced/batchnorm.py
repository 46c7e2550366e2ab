r"""Batch statistics that are right under uneven local batches, in processes on any device and in virtual replicas.

A replica's BatchNorm sees its local batch alone, and under DDP only rank 0's running statistics
survive. With m_r values a channel on replica r, of mean :math:`\mu_r` and variance :math:`v_r`, all
m together have

.. math:: \mu = \sum_r m_r \mu_r / m, \quad v = \sum_r m_r (v_r + (\mu_r - \mu)^2) / m

(law of total variance; Chan, Golub, LeVeque 1983). A weighted mean of the v_r alone loses the
second term.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hetlib.balanced.normalize import ALONE, Normalize, _pooled, total_variance, track

_RUNNING = ("running_mean", "running_var", "num_batches_tracked")


class BalancedBatchNorm(_BatchNorm):
    """BatchNorm over the global batch: one small all-reduce each way, in which all replicas take part in training."""

    process_group: Any = None  # None: the default group

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"process_group": None}  # a group can be neither copied nor pickled

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if (
            not self.training
            or not dist.is_initialized()
            or dist.get_world_size(self.process_group) < 2
        ):
            return super().forward(input)
        self._check_input_dim(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        running = (
            [] if self.running_mean is None else [getattr(self, name)[None] for name in _RUNNING]
        )
        then = partial(track, running, self.momentum)
        return Normalize.apply(
            x, self.weight, self.bias, (len(x),), self.eps, self.process_group, then
        ).to(input.dtype)


_PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


_BALANCED: dict[Any, Any] = {
    kind: type(f"Balanced{kind.__name__}", (BalancedBatchNorm, kind), {}) for kind in _PLAIN
}


BalancedBatchNorm1d, BalancedBatchNorm2d, BalancedBatchNorm3d = _BALANCED.values()


def convert_batchnorm(model: nn.Module, process_group: Any = None) -> nn.Module:
    """Make each BatchNorm layer of ``model`` a `BalancedBatchNorm`, in place (parameters, buffers, hooks stay).

    All replicas run the same layers in the same order. The loss is the mean over the replica's own
    samples, under `hetlib.balance`; gradients of the layer's parameters are local sums, for DDP to
    reduce. ``process_group`` may be DDP's; ``None`` is the default one. Raises ``TypeError`` for a
    layer that is not torch's own 1d, 2d or 3d.
    """
    for name, layer in [(n, m) for n, m in model.named_modules() if isinstance(m, _BatchNorm)]:
        if type(layer) not in (*_BALANCED, *_BALANCED.values()):
            raise TypeError(
                f"layer {name!r} is a {type(layer).__name__}; use torch's own BatchNorm1d, 2d or 3d there."
            )
        layer.__class__ = _BALANCED.get(type(layer), type(layer))
        layer.process_group = process_group
    return model


def pool_batchnorm(model: nn.Module, process_group: Any = None, *, samples: float = 1.0) -> None:
    """Give all replicas of ``model`` the running statistics of all samples, by one collective that every rank joins.

    ``samples`` is the weight of this replica: its share, or the samples that it saw. Raises
    ``ValueError`` on every rank when a weight is negative or not finite, or all are 0.
    """
    layers = [
        layer
        for layer in model.modules()
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None
    ]
    if not layers or not dist.is_initialized() or dist.get_world_size(process_group) < 2:
        return
    both: Any = [[layer.running_mean for layer in layers], [layer.running_var for layer in layers]]
    counts, *pooled = _pooled(samples, torch.cat(both[0]), torch.cat(both[1]), process_group)
    if not (counts.isfinite() & (counts >= 0)).all() or not counts.any():
        raise ValueError(
            f"`samples` by rank is {counts.tolist()}; each must be finite and >= 0, and one > 0."
        )
    torch._foreach_copy_(
        [*both[0], *both[1]], torch.cat(pooled).split([layer.num_features for layer in layers] * 2)
    )


def segment_batchnorm(model: nn.Module, segments: list[int]) -> nn.Module:
    """Make each BatchNorm layer take its training statistics per segment, and rank 0's for evaluation.

    ``segments`` is the caller's list of local batches, to be filled before each step; while it is
    empty the whole batch is one. A `BalancedBatchNorm` stays as it is: it takes the statistics of
    the whole batch.
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
            for rows, pooled in zip(
                kept, total_variance(counts, kept[0].double(), kept[1].double()), strict=False
            ):
                rows.copy_(pooled.expand_as(rows))


def _forward(
    layer: _BatchNorm, segments: list[int], kept: list[torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    """``kept``: running mean and variance ``(P, channels)`` and batches ``(P,)`` of all replicas, once known."""
    counts = tuple(filter(None, segments))
    if not layer.training or not counts:
        return type(layer).forward(layer, x)
    if not kept and layer.running_mean is not None:
        for name in _RUNNING:
            kept.append(torch.stack([getattr(layer, name)] * len(segments)))
            # what DDP keeps: rank 0's, which saw its own samples alone
            setattr(layer, name, kept[-1][0])
    used = None if len(counts) == len(segments) else torch.tensor(segments) > 0
    running = kept if used is None else [rows[used] for rows in kept]
    y = Normalize.apply(
        x,
        layer.weight,
        layer.bias,
        counts,
        layer.eps,
        ALONE,
        partial(track, running, layer.momentum),
    )
    if used is not None:
        for rows, new in zip(kept, running, strict=True):
            rows[used] = new
    return y
