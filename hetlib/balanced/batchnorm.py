r"""Batch statistics that are right under uneven local batches.

In processes on any device, and in virtual replicas. A replica's BatchNorm sees its local batch
alone, and under DDP only rank 0's running statistics survive. With m_r values a channel on replica
r, of mean :math:`\mu_r` and variance :math:`v_r`, all m together have

.. math:: \mu = \sum_r m_r \mu_r / m, \quad v = \sum_r m_r (v_r + (\mu_r - \mu)^2) / m

(law of total variance; Chan, Golub, LeVeque 1983). A weighted mean of the v_r alone loses the
second term.
"""

import copy
from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from hetlib.balanced.normalize import ALONE, Normalize, Settings
from hetlib.balanced.statistics import Running, pool_over_group, total_variance
from hetlib.balanced.wrappers import active_wrapper, kind_of_pass, sends_buffers, wrappers_around

# The layer's buffers, in the order of `Running`.
_RUNNING = ("running_mean", "running_var", "num_batches_tracked")


class BalancedBatchNorm(_BatchNorm):
    """BatchNorm over the global batch.

    One small all-reduce each way, in which all replicas take part in training.

    Attributes:
        process_group: The replicas; None: the default group.
    """

    process_group: dist.ProcessGroup | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"process_group": None}  # a group cannot be pickled

    def __deepcopy__(self, memo: dict[int, Any]) -> "BalancedBatchNorm":
        # nor copied, but an average of the weights in this process goes over the same replicas
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__getstate__(), memo))
        twin.process_group = self.process_group
        return twin

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise this replica's part of the global batch.

        Args:
            input: ``(n, channels, ...)``; n may be 0 in training over several replicas.

        Returns:
            The same shape and type.

        Raises:
            ValueError: All replicas together have one value a channel.
            RuntimeError: The replicas take their steps in unequal numbers of micro-batches, under
                DDP's ``no_sync`` or FSDP2's ``set_requires_gradient_sync``; on every replica, in
                the first pass that tells. Or DDP's ``join`` would let a replica stay away.
        """
        if not self.training or not self._is_shared():
            return super().forward(input)
        _require_all_to_stay()
        layer: Any = self  # torch's check has no types
        layer._check_input_dim(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        settings = Settings(
            counts=(len(x),),
            eps=self.eps,
            group=self.process_group,
            running=self._running(),
            momentum=self.momentum,
            kind=kind_of_pass(self),
            compares=x.device.type == "cpu" or self._is_first_in_pass(),
        )
        y: torch.Tensor = Normalize.apply(x, self.weight, self.bias, settings)
        return y.to(input.dtype)

    def _is_shared(self) -> bool:
        return dist.is_initialized() and dist.get_world_size(self.process_group) > 1

    def _is_first_in_pass(self) -> bool:
        """Say whether this is the first such layer of the network that DDP is passing through."""
        wrapper = active_wrapper()
        if wrapper is None:
            return False
        for layer in wrapper.modules():
            if isinstance(layer, BalancedBatchNorm):
                return layer is self
        return False

    def _running(self) -> Running | None:
        """Return the running statistics as a row each."""
        if self.running_mean is None:
            return None
        return Running(*[getattr(self, name)[None] for name in _RUNNING])


def _require_all_to_stay() -> None:
    """Refuse DDP's ``join`` where a replica that has run out would not take part."""
    wrapper = active_wrapper()
    if wrapper is None:
        return
    config = wrapper._join_config
    if config.enable and not config.throw_on_early_termination:
        raise RuntimeError(
            "BatchNorm over all replicas (convert_batchnorm) needs all of them in every pass, but "
            "DDP's join() lets those stay away that have run out of batches. Leave join() out and "
            "deal all replicas the same number of steps, as BalancedLoader does; or give it "
            "throw_on_early_termination=True."
        )


class BalancedBatchNorm1d(BalancedBatchNorm, nn.BatchNorm1d):
    """`BalancedBatchNorm` for ``(n, channels)`` and ``(n, channels, length)``."""


class BalancedBatchNorm2d(BalancedBatchNorm, nn.BatchNorm2d):
    """`BalancedBatchNorm` for ``(n, channels, height, width)``."""


class BalancedBatchNorm3d(BalancedBatchNorm, nn.BatchNorm3d):
    """`BalancedBatchNorm` for ``(n, channels, depth, height, width)``."""


_BALANCED: dict[type[_BatchNorm], type[BalancedBatchNorm]] = {
    nn.BatchNorm1d: BalancedBatchNorm1d,
    nn.BatchNorm2d: BalancedBatchNorm2d,
    nn.BatchNorm3d: BalancedBatchNorm3d,
}


def convert_batchnorm(
    model: nn.Module, process_group: dist.ProcessGroup | None = None
) -> nn.Module:
    """Make each BatchNorm layer of a model a `BalancedBatchNorm`, in place.

    Parameters, buffers and hooks stay. All replicas run the same layers in the same order, and take
    a step in as many micro-batches (``hetlib.micro_batches(..., parts=)``). The loss
    is the mean over the replica's own samples, under `hetlib.balance`; gradients of the layer's
    parameters are local sums, for DDP to reduce.

    Args:
        model: What to convert.
        process_group: The replicas, may be DDP's; None is the default one.

    Returns:
        ``model``.

    Raises:
        TypeError: A layer is not torch's own 1d, 2d or 3d.

    Example:
        >>> model = DistributedDataParallel(hetlib.convert_batchnorm(model))
    """
    for name, layer in model.named_modules():
        if not isinstance(layer, _BatchNorm):
            continue
        kind = type(layer)
        if kind in _BALANCED:
            layer.__class__ = _BALANCED[kind]
        elif kind not in _BALANCED.values():
            raise TypeError(
                f"layer {name!r} is a {kind.__name__}; use torch's own BatchNorm1d, 2d or 3d there."
            )
        assert isinstance(layer, BalancedBatchNorm)  # it is by now
        layer.process_group = process_group
    return model


def pool_batchnorm(
    model: nn.Module,
    process_group: dist.ProcessGroup | None = None,
    *,
    samples: float = 1.0,
) -> None:
    """Give all replicas of a model the running statistics of all samples.

    By one collective that every rank joins. Each layer's mean is that of all samples, and its
    variance that around it. Layers whose statistics go over all replicas stay as they are. It needs
    what each replica saw: DDP's ``broadcast_buffers=True``, the default, overwrites that with rank
    0's before each pass, and is refused. A DDP that is gone cannot be seen: pool while it is there.

    Args:
        model: Its layers are changed.
        process_group: The replicas; None is the group of the DDP that holds the layers, else the
            default one.
        samples: The weight of this replica: its share, or the samples that it saw.

    Raises:
        ValueError: On every rank, when a weight is negative or not finite, or all are 0; or when
            DDPs with several groups hold the layers, and none is named.
        RuntimeError: On every rank, when DDP sends rank 0's buffers to the others.
    """
    layers = [layer for layer in model.modules() if _has_own_statistics(layer)]
    if not layers or not dist.is_initialized():
        return
    wrappers = wrappers_around(layers)
    if process_group is None:
        process_group = _group_of(wrappers)
    if dist.get_world_size(process_group) < 2:
        return
    _require_own_buffers(wrappers, layers)
    means: list[Any] = [layer.running_mean for layer in layers]
    variances: list[Any] = [layer.running_var for layer in layers]
    pooled = pool_over_group(samples, torch.cat(means), torch.cat(variances), process_group)
    _check_weights(pooled.counts)
    both = means + variances
    new = torch.cat([pooled.mean, pooled.variance])
    torch._foreach_copy_(both, torch.split(new, [len(kept) for kept in both]))


def _has_own_statistics(layer: nn.Module) -> TypeGuard[_BatchNorm]:
    """Say whether a layer follows the samples of its replica alone."""
    if not isinstance(layer, _BatchNorm) or isinstance(layer, BalancedBatchNorm | nn.SyncBatchNorm):
        return False
    return layer.running_mean is not None and layer.running_var is not None


def _group_of(wrappers: Sequence[DistributedDataParallel]) -> dist.ProcessGroup | None:
    """Return the group that the wrappers agree on; None without any."""
    groups = [wrapper.process_group for wrapper in wrappers]
    if not groups:
        return None
    if any(group is not groups[0] for group in groups):
        raise ValueError(
            "`model` is held by DDPs with several process groups; name the replicas whose "
            "statistics are to be pooled: pool_batchnorm(model, process_group)."
        )
    return groups[0]


def _require_own_buffers(
    wrappers: Sequence[DistributedDataParallel], layers: Sequence[nn.Module]
) -> None:
    if any(sends_buffers(wrapper, layers) for wrapper in wrappers):
        raise RuntimeError(
            "DDP sends rank 0's buffers to all replicas before each pass, so the running "
            "statistics of the others are lost and cannot be pooled. Before the training set "
            "`broadcast_buffers = False` on the DDP (an argument of it, too), or take the "
            "statistics over all replicas in each pass: hetlib.convert_batchnorm(model)."
        )


def _check_weights(weights: torch.Tensor) -> None:
    right = weights.isfinite() & (weights >= 0)
    if not right.all() or not weights.any():
        raise ValueError(
            f"`samples` by rank is {weights.tolist()}; each must be finite and >= 0, and one > 0."
        )


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
        for name in _RUNNING:
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
    """Pool the running statistics of virtual replicas, as `pool_batchnorm` does those of processes.

    Args:
        model: That `segment_batchnorm` changed; without such layers nothing happens.
        shares: Weight of each replica.
    """
    for module in model.modules():
        if isinstance(module.forward, SegmentedBatchNorm):
            module.forward.pool(shares)
