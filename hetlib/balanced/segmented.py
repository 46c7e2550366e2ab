"""BatchNorm of virtual replicas: one pass for all, with the statistics of each local batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hetlib.balanced.batchnorm import BalancedBatchNorm
from hetlib.balanced.normalize import ALONE, Normalize, Settings
from hetlib.balanced.statistics import BUFFERS, Running, total_variance


class SegmentedBatchNorm:
    """The forward pass of a BatchNorm layer that takes its training statistics per segment.

    It stands in place of the layer's own ``forward``. The layer's weights and buffers stay where
    they are, so that checkpoints fit.

    Args:
        layer: Whose pass it is. In training its running statistics become those of rank 0, which
            saw its own samples alone: that is what DDP keeps.
        segments: The local batches of all replicas, which the caller fills before each step.

    Attributes:
        rows: Running statistics of all replicas, once known.
    """

    def __init__(self, layer: _BatchNorm, segments: list[int]) -> None:
        self.rows: Running | None = None
        self._layer = layer
        self._segments = segments

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise a global batch, ``(n, channels, ...)``."""
        layer = self._layer
        counts = tuple(filter(None, self._segments))
        if not layer.training or not counts:
            return type(layer).forward(layer, x)
        if self.rows is None and layer.running_mean is not None:
            self.rows = self._take_over()
        used = None
        running = self.rows
        if running is not None and len(counts) < len(self._segments):
            # numbers, not a mask: a GPU would be waited for
            filled = [replica for replica, n in enumerate(self._segments) if n]
            used = torch.tensor(filled, device=x.device)
            running = Running(*[kept[used] for kept in running])
        # by place: names would take 0.4 of a small layer's 90 microseconds
        settings = Settings(counts, layer.eps, ALONE, running, layer.momentum)
        y: torch.Tensor = Normalize.apply(x, layer.weight, layer.bias, settings)
        if used is not None:
            self._put_back(used, running)
        return y

    def pool(self, shares: Sequence[int]) -> None:
        """Pool the running statistics of all replicas, if there are any.

        Args:
            shares: Weight of each replica.
        """
        if self.rows is None:
            return
        means = self.rows.means
        counts = torch.tensor(shares, dtype=torch.float64, device=means.device)[:, None]
        variances = self.rows.variances
        mean, variance = total_variance(counts, means.double(), variances.double())
        means.copy_(mean.expand_as(means))
        variances.copy_(variance.expand_as(variances))

    def _take_over(self) -> Running:
        """Return a row of the layer's statistics for each replica; the first becomes its own."""
        rows = []
        for name in BUFFERS:
            kept = torch.stack([getattr(self._layer, name)] * len(self._segments))
            setattr(self._layer, name, kept[0])
            rows.append(kept)
        return Running(*rows)

    def _put_back(self, used: torch.Tensor, running: Running | None) -> None:
        """Write the statistics of the replicas that had samples into the rows of all."""
        if self.rows is None or running is None:
            return
        for kept, new in zip(self.rows, running, strict=True):
            kept[used] = new


def segment_batchnorm(model: nn.Module, segments: list[int]) -> nn.Module:
    """Make each BatchNorm layer take its training statistics per segment, for evaluation rank 0's.

    A `BalancedBatchNorm` stays as it is: it takes the statistics of the whole batch.

    Args:
        model: What to change, in place.
        segments: The caller's list of local batches, to be filled before each step; while it is
            empty the whole batch is one.

    Returns:
        ``model``.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm) and not isinstance(module, BalancedBatchNorm):
            segmented: Any = SegmentedBatchNorm(module, segments)
            module.forward = segmented  # type: ignore[method-assign]
    return model


def pool_segments(model: nn.Module, shares: Sequence[int]) -> None:
    """Pool the running statistics of virtual replicas, as `.pooling` does those of processes.

    Args:
        model: That `segment_batchnorm` changed; without such layers nothing happens.
        shares: Weight of each replica.
    """
    for module in model.modules():
        if isinstance(module.forward, SegmentedBatchNorm):
            module.forward.pool(shares)
