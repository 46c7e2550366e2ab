"""The arithmetic of batch statistics: over a group of replicas, or by segment within one process."""

from functools import lru_cache
from typing import Any

import torch
import torch.distributed as dist
from torch.autograd.function import once_differentiable

ALONE: Any = dist.GroupMember.NON_GROUP_MEMBER  # as the process group: no other replica


def _pooled(
    count: Any, mean: torch.Tensor, var: torch.Tensor, group: Any
) -> tuple[torch.Tensor, ...]:
    """Return each replica's count, and mean and variance of all values, in float64."""
    rows = mean.new_zeros(dist.get_world_size(group), 1 + 2 * len(mean), dtype=torch.float64)
    rows[dist.get_rank(group)] = torch.cat([rows.new_tensor([count]), mean, var])
    # of rows that are 0 elsewhere: a gather that gloo has for CUDA tensors too
    dist.all_reduce(rows, group=group)
    return rows[:, 0], *total_variance(rows[:, :1], *rows[:, 1:].tensor_split(2, dim=1))


def total_variance(
    counts: torch.Tensor, means: torch.Tensor, variances: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Return mean and variance of all values from the replicas' ``(P, channels)``; counts are ``(P, 1)``."""
    mean = (counts * means).sum(0) / counts.sum()
    return mean, (counts * (variances + (means - mean).square())).sum(0) / counts.sum()


def track(running: Any, momentum: float | None, mean: torch.Tensor, var: torch.Tensor) -> None:
    """Update running means and variances ``(P, channels)`` and numbers of batches ``(P,)``, if there are any."""
    if running:
        means, variances, batches = running
        batches += 1
        rate = 1 / batches[:, None].to(means) if momentum is None else momentum
        means.lerp_(mean.to(means), rate)
        variances.lerp_(var.to(means), rate)


@lru_cache(maxsize=64)  # layers of one size share it, step after step
def _layout(
    counts: tuple[int, ...], size: torch.Size, device: torch.device, dtype: torch.dtype
) -> tuple[Any, ...]:
    """Return what depends on the segments alone; of the values a channel the fewest, and m, -m, m / (m - 1)."""
    samples, pixels, whole = torch.tensor(counts, device=device), size[2:].numel(), len(counts) == 1
    owner, number = torch.repeat_interleave(samples), torch.arange(size[0], device=device)
    over, shape = tuple(range(2, len(size))), (-1, size[1], *[1] * (len(size) - 2))

    def total(t: torch.Tensor) -> torch.Tensor:  # (n, channels, ...) to (segments, channels)
        each = t.sum(over) if over else t
        return each.sum(0, True) if whole else torch.embedding_bag(each, number, first)[0]

    def spread(t: torch.Tensor) -> torch.Tensor:  # and back
        return (t if whole else t.index_select(0, owner)).view(shape)

    first, m = samples.cumsum(0) - samples, (samples * pixels).clamp(min=1)[:, None].to(dtype)
    return shape, total, spread, min(counts) * pixels, m, -m, m / (m - 1)


class Normalize(torch.autograd.Function):
    """Normalise (Ioffe, Szegedy, arXiv 1502.03167) each segment by itself, or the one segment by its whole group."""

    @staticmethod
    def forward(
        ctx: Any, x: Any, weight: Any, bias: Any, counts: Any, eps: float, group: Any, then: Any
    ) -> Any:
        # With small segments each line costs as much as a pass over the data.
        shape, total, spread, fewest, m, minus_m, unbiased = _layout(
            counts, x.shape, x.device, x.dtype
        )
        mean = total(x).div_(m)
        center = spread(mean)
        y = (x - center).square_()
        var = total(y).div_(m)
        if group is not ALONE:
            values, *both = _pooled(fewest, mean[0], var[0], group)
            m = values.sum().reshape(1, 1)
            mean, var, minus_m, unbiased = both[0].to(x)[None], both[1].to(x)[None], -m, m / (m - 1)
            center = spread(mean)
        if fewest < 2 and m.min() < 2:  # in this order a GPU need not be waited for
            raise ValueError(
                f"BatchNorm got {m.min():g} value a channel (local batches {[*counts]}); use larger ones."
            )
        invstd = (var + eps).rsqrt_()
        scale = invstd if weight is None else invstd * weight
        wide = spread(scale)
        shift = torch.addcmul(
            center.new_zeros(()) if bias is None else bias.view(shape), center, wide, value=-1
        )
        ctx.save_for_backward(x, mean, invstd, scale, wide)
        ctx.kept = total, spread, minus_m, group
        then(mean, var.mul_(unbiased))
        return torch.addcmul(shift, x, wide, out=y)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> Any:
        # The refusal of second derivatives takes 0.5 % of a small step, so only where one may be
        # asked for.
        return (
            once_differentiable(_gradients)(ctx, dy)
            if torch.is_grad_enabled()
            else _gradients(ctx, dy)
        )


def _gradients(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    x, mean, invstd, scale, wide = ctx.saved_tensors
    total, spread, minus_m, group = ctx.kept
    sum_dy = total(dy)
    # not x - mean, a further pass: a mean of k standard deviations costs log10(k) digits, as in
    # rounding x
    dx = dy * x
    sum_dy_xhat = total(dx).addcmul_(mean, sum_dy, value=-1).mul_(invstd)
    own = sum_dy_xhat.sum(0), sum_dy.sum(0)
    if group is not ALONE:
        sums = torch.stack([sum_dy, sum_dy_xhat]).double()
        dist.all_reduce(sums, group=group)
        sum_dy, sum_dy_xhat = sums.to(x)
    per_value = scale / minus_m
    of_x = sum_dy_xhat.mul_(per_value).mul_(invstd)
    constant = sum_dy.mul_(per_value).addcmul_(of_x, mean, value=-1)
    dx = torch.addcmul(spread(constant), x, spread(of_x), out=dx).addcmul_(dy, wide)
    _, of_weight, of_bias, *_ = ctx.needs_input_grad
    return dx, own[0] if of_weight else None, own[1] if of_bias else None, None, None, None, None
