"""Means and variances of the channels of several replicas: pooled, and followed over the steps."""

from typing import Any, NamedTuple

import torch
import torch.distributed as dist

# Of a layer, in the order of `Running`.
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


class Running(NamedTuple):
    """Running statistics of P replicas, which training updates in place.

    Attributes:
        means: ``(P, channels)``.
        variances: ``(P, channels)``.
        batches: How many have been seen, ``(P,)``.
    """

    means: torch.Tensor
    variances: torch.Tensor
    batches: torch.Tensor


class Pooled(NamedTuple):
    """Statistics of all replicas together, in float64.

    Attributes:
        counts: Of each replica, ``(P,)``.
        mean: Of all values, ``(channels,)``.
        variance: Of all values, ``(channels,)``.
        notes: What each replica said beside, ``(P,)``.
    """

    counts: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor
    notes: torch.Tensor


def pool_over_group(
    count: float,
    mean: torch.Tensor,
    variance: torch.Tensor,
    group: dist.ProcessGroup | None,
    note: float = 0.0,
) -> Pooled:
    """Pool the statistics of all replicas of a group, by one collective.

    Args:
        count: Values that this replica's statistics are of, or their weight.
        mean: Of this replica, ``(channels,)``.
        variance: Of this replica, ``(channels,)``.
        group: None is the default one.
        note: A number that this replica tells the others.
    """
    replicas = dist.get_world_size(group)
    rows = mean.new_zeros(replicas, 2 + 2 * len(mean), dtype=torch.float64)
    own = [rows.new_tensor([count, note]), mean, variance]
    rows[dist.get_rank(group)] = torch.cat(own)
    # of rows that are 0 elsewhere: a gather that gloo has for CUDA tensors too
    dist.all_reduce(rows, group=group)
    means, variances = rows[:, 2:].tensor_split(2, dim=1)
    pooled_mean, pooled_variance = total_variance(rows[:, :1], means, variances)
    return Pooled(rows[:, 0], pooled_mean, pooled_variance, rows[:, 1])


def total_variance(
    counts: torch.Tensor, means: torch.Tensor, variances: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and variance of all values, by the law of total variance.

    Args:
        counts: Values of each replica, ``(P, 1)``.
        means: ``(P, channels)``.
        variances: ``(P, channels)``.

    Returns:
        Both as ``(channels,)``.
    """
    mean = (counts * means).sum(0) / counts.sum()
    around_the_mean = variances + (means - mean).square()
    return mean, (counts * around_the_mean).sum(0) / counts.sum()


def track(
    running: Running, momentum: float | None, mean: torch.Tensor, variance: torch.Tensor
) -> None:
    """Update running statistics in place.

    Args:
        running: Of P replicas.
        momentum: Weight of the new ones; None: the mean over all batches.
        mean: Of the batch, ``(P, channels)``.
        variance: Of the batch, with m - 1 in the denominator, ``(P, channels)``.
    """
    means, variances, batches = running
    batches += 1
    rate: Any = momentum
    if rate is None:
        rate = 1 / batches[:, None].to(means)
    means.lerp_(mean.to(means), rate)
    variances.lerp_(variance.to(means), rate)
