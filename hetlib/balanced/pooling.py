"""Running statistics of BatchNorm layers that saw one replica's samples each, pooled afterwards."""

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy

from hetlib.balanced.arguments import require_group, require_model
from hetlib.balanced.batchnorm import BalancedBatchNorm
from hetlib.balanced.statistics import pool_over_group
from hetlib.balanced.wrappers import sends_buffers, wrappers_around
from hetlib.errors import wrong
from hetlib.inputs import number
from hetlib.plain import finite_of, plain


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
        samples: The weight of this replica: its share, or the samples that it saw. Where shares
            have moved, those of the latest steps, as running statistics forget the others.

    Raises:
        ValueError: On every rank, when a weight is no number, negative or not finite, or all are 0;
            or when DDPs with several groups hold the layers, and none is named. Or ``model`` is no
            module, or ``process_group`` no group with this process.
        RuntimeError: On every rank, when DDP sends rank 0's buffers to the others.
    """
    require_model(model)
    require_group("process_group", process_group)
    layers = [layer for layer in model.modules() if _has_own_statistics(layer)]
    if any(is_lazy(mean) for mean in _means(layers)):
        raise ValueError(
            "`model` has lazy BatchNorm layers, which have no statistics yet; run a batch through "
            "it, then pool."
        )
    if not layers or not dist.is_initialized():
        number("samples", samples, low=0)
        return
    wrappers = wrappers_around(layers)
    if process_group is None:
        process_group = _group_of(wrappers)
    if dist.get_world_size(process_group) < 2:
        number("samples", samples, low=0)
        return
    _require_own_buffers(wrappers, layers)
    means = _means(layers)
    variances: list[Any] = [layer.running_var for layer in layers]
    weight = _weight_of(samples)
    pooled = pool_over_group(weight, torch.cat(means), torch.cat(variances), process_group)
    _check_weights(pooled.counts, samples)
    both = means + variances
    new = torch.cat([pooled.mean, pooled.variance])
    torch._foreach_copy_(both, torch.split(new, [len(kept) for kept in both]))


def _means(layers: Sequence[_BatchNorm]) -> list[Any]:
    return [layer.running_mean for layer in layers]


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


def _weight_of(samples: object) -> float:
    """Return a weight, NaN for what is none: all replicas learn of it, and none waits."""
    weight = finite_of(plain(samples))
    return math.nan if weight is None else weight


def _check_weights(weights: torch.Tensor, samples: object) -> None:
    if math.isnan(_weight_of(samples)):
        raise wrong("samples", samples, "a finite number >= 0")
    right = weights.isfinite() & (weights >= 0)
    if not right.all() or not weights.any():
        raise ValueError(
            f"`samples` by rank is {weights.tolist()}; each must be finite and >= 0, and one > 0."
        )
