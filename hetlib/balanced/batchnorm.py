r"""BatchNorm over the global batch, which is right under uneven local batches.

A replica's BatchNorm sees its local batch
alone, and under DDP only rank 0's running statistics survive. With m_r values a channel on replica
r, of mean :math:`\mu_r` and variance :math:`v_r`, all m together have

.. math:: \mu = \sum_r m_r \mu_r / m, \quad v = \sum_r m_r (v_r + (\mu_r - \mu)^2) / m

(law of total variance; Chan, Golub, LeVeque 1983). A weighted mean of the v_r alone loses the
second term.
"""

import copy
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.lazy import LazyModuleMixin

from hetlib.balanced.arguments import require_group, require_model
from hetlib.balanced.normalize import ALONE, Normalize, Settings
from hetlib.balanced.statistics import BUFFERS, Running
from hetlib.balanced.wrappers import active_wrapper, kind_of_pass


class BalancedBatchNorm(_BatchNorm):
    """BatchNorm over the global batch.

    One small all-reduce each way, in which all replicas take part in training.

    Attributes:
        process_group: The replicas; None: the default group.
    """

    process_group: dist.ProcessGroup | None = None
    # whether it came out of a file, which cannot hold the group that it had
    _lost_group = False

    def __getstate__(self) -> dict[str, Any]:
        has_own = self.process_group not in (None, dist.group.WORLD)
        loses = self._lost_group or has_own
        return self.__dict__ | {"process_group": None, "_lost_group": loses}

    def __deepcopy__(self, memo: dict[int, Any]) -> "BalancedBatchNorm":
        # nor copied, but an average of the weights in this process goes over the same replicas
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__getstate__(), memo))
        twin.process_group = self.process_group
        twin._lost_group = self._lost_group
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
                the first pass that tells. Or DDP's ``join`` would let a replica stay away. Or the
                layer came out of a file without its group.
        """
        if not self.training or not self._is_shared():
            return super().forward(input)
        self._require_group()
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

    def _require_group(self) -> None:
        """Refuse the default group in place of the one that was lost."""
        if self._lost_group:
            raise RuntimeError(
                "BatchNorm over a group of replicas (convert_batchnorm) was pickled or saved "
                "whole, and its group cannot be: name it again, "
                "hetlib.convert_batchnorm(model, process_group)."
            )

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
        return Running(*[getattr(self, name)[None] for name in BUFFERS])


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
        ValueError: ``model`` is no module, or ``process_group`` no group.
        TypeError: A layer is not torch's own 1d, 2d or 3d; then none is converted.

    Example:
        >>> model = DistributedDataParallel(hetlib.convert_batchnorm(model))
    """
    require_model(model)
    # a process outside of the group may have the model, too, and pass nothing through it
    if process_group is not ALONE:
        require_group("process_group", process_group)
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, _BatchNorm)}
    for name, layer in layers.items():
        _require_convertible(name, layer)
    for layer in layers.values():
        layer.__class__ = _BALANCED.get(type(layer), type(layer))
        assert isinstance(layer, BalancedBatchNorm)  # it is by now
        layer.process_group = process_group
        layer._lost_group = False
    return model


def _require_convertible(name: str, layer: _BatchNorm) -> None:
    """Refuse a layer that is not torch's own; none is converted then."""
    kind = type(layer)
    if kind in _BALANCED or kind in _BALANCED.values():
        return
    if isinstance(layer, LazyModuleMixin):
        raise TypeError(
            f"layer {name!r} is a {kind.__name__}, which has no weights yet; run a batch through "
            "the model first, then convert it."
        )
    raise TypeError(
        f"layer {name!r} is a {kind.__name__}; use torch's own BatchNorm1d, 2d or 3d there."
    )
