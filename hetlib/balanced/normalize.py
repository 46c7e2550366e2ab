r"""The arithmetic of batch statistics: over a group of replicas, or by segment within one process.

With the mean :math:`\mu` and the variance :math:`v` of a channel,

.. math:: y = \gamma (x - \mu) / \sqrt{v + \epsilon} + \beta
"""

from enum import IntEnum
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from hetlib.balanced.segments import Segments, Values, segments_of
from hetlib.balanced.statistics import Running, pool_over_group, track

# As the process group: no other replica. Torch's own mark for it is a number.
ALONE: Any = dist.GroupMember.NON_GROUP_MEMBER


class PassKind(IntEnum):
    """What a pass through a network is to its step, as replicas tell each other."""

    # nothing says so, as in a pass that checkpointing repeats
    UNKNOWN = 0
    # its gradients are exchanged: the last of a step
    LAST = 1
    # under no_sync() and the like: a micro-batch before the last
    EARLY = 2


class Settings(NamedTuple):
    """How a batch is normalised.

    Attributes:
        counts: Samples of each segment, in the order of the batch; none is 0, but for a replica of
            a group without samples.
        eps: What is added to the variance.
        group: Replicas over which the one segment is pooled; `ALONE` for segments by themselves.
        running: Statistics to update, a row a segment; None: there are none.
        momentum: Weight of this batch in them; None: the mean over all batches.
        kind: What the pass is to its step, which the replicas of a group tell each other.
        compares: Whether to look at what the others told: a GPU has to be waited for.
    """

    counts: tuple[int, ...]
    eps: float
    group: dist.ProcessGroup | None
    running: Running | None
    momentum: float | None
    kind: PassKind = PassKind.UNKNOWN
    compares: bool = False


class Normalize(torch.autograd.Function):
    """Normalise each segment by itself, or the one segment by its whole group.

    Ioffe, Szegedy, arXiv 1502.03167. Called as ``Normalize.apply(x, weight, bias, settings)``.
    """

    # With small segments each line below costs as much as a pass over the data.

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        settings: Settings,
    ) -> torch.Tensor:
        """Return the normalised batch and update the running statistics.

        Args:
            ctx: Keeps what the backward pass needs.
            x: The batch, ``(n, channels, ...)``.
            weight: gamma, ``(channels,)``; None: 1.
            bias: beta, ``(channels,)``; None: 0.
            settings: Segments or group, and what to update.

        Raises:
            ValueError: A segment, or the whole group, has fewer than two values a channel.
            RuntimeError: The replicas of a group take their steps in unequal numbers of passes.
        """
        segments = segments_of(settings.counts, x.shape, x.device, x.dtype)
        values = segments.values
        mean = segments.total(x).div_(values.number)
        center = segments.spread(mean)
        buffer = (x - center).square_()
        variance = segments.total(buffer).div_(values.number)
        if settings.group is not ALONE:
            mean, variance, values = _pool(mean, variance, segments, settings)
            center = segments.spread(mean)
        if segments.fewest < 2:  # in this order a GPU need not be waited for
            _check(values, settings.counts)

        invstd = (variance + settings.eps).rsqrt_()
        scale = invstd if weight is None else invstd * weight
        wide = segments.spread(scale)
        shift = _shift(bias, center, wide, segments)
        ctx.save_for_backward(x, mean, invstd, scale, wide)
        ctx.kept = segments, values, settings.group
        if settings.running is not None:
            track(settings.running, settings.momentum, mean, variance.mul_(values.unbiased))
        return torch.addcmul(shift, x, wide, out=buffer)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> Any:
        """Return the gradients of all arguments of the forward pass.

        Args:
            ctx: What that kept.
            dy: The gradient of its output.

        Raises:
            RuntimeError: A second derivative is asked for.
        """
        # The refusal of second derivatives takes 0.5 % of a small step, so only where one may be
        # asked for.
        if not torch.is_grad_enabled():
            return _gradients(ctx, dy)
        with torch.no_grad():
            found = _gradients(ctx, dy)
        return tuple(_without_derivative(gradient) for gradient in found)


class _Refuse(torch.autograd.Function):
    """A gradient that has no derivative itself."""

    @staticmethod
    def forward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        """Return the gradient as it is."""
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, _: torch.Tensor) -> Any:
        """Say what was asked for, and what to do instead."""
        raise RuntimeError(
            "a second derivative goes through BatchNorm over replicas (convert_batchnorm), which "
            "has none, as a penalty on gradients (create_graph=True) needs it: take another "
            "norm there (GroupNorm, LayerNorm, InstanceNorm), or leave the layer as it was."
        )


def _without_derivative(gradient: torch.Tensor | None) -> torch.Tensor | None:
    """Return a gradient that may be used, and says so where it is to be derived."""
    if gradient is None:
        return None
    refusing: torch.Tensor = _Refuse.apply(gradient.requires_grad_())
    return refusing


def _pool(
    mean: torch.Tensor,
    variance: torch.Tensor,
    segments: Segments,
    settings: Settings,
) -> tuple[torch.Tensor, torch.Tensor, Values]:
    """Return mean, variance and values of the whole group from those of this replica's segment."""
    pooled = pool_over_group(
        segments.fewest, mean[0], variance[0], settings.group, note=settings.kind
    )
    if settings.compares:
        _require_equal_passes(pooled.notes.tolist())
    values = Values.of(pooled.counts.sum().reshape(1, 1))
    return pooled.mean.to(mean)[None], pooled.variance.to(mean)[None], values


def _require_equal_passes(kinds: list[float]) -> None:
    """Refuse a pass that is the last of its step on some replicas, and not on others.

    All learn it from the same exchange, before a replica waits for one that will not come.
    """
    last = [rank for rank, kind in enumerate(kinds) if kind == PassKind.LAST]
    early = [rank for rank, kind in enumerate(kinds) if kind == PassKind.EARLY]
    if last and early:
        raise RuntimeError(
            f"BatchNorm over all replicas (convert_batchnorm) is in the last pass of the step on "
            f"ranks {last}, and in a micro-batch before it (no_sync) on ranks {early}: "
            "every pass needs all replicas. Take as many passes a step on each: "
            "hetlib.micro_batches(len(inputs), most, parts=passes), "
            "passes = max(len(hetlib.micro_batches(n, most)) for n in loader.counts)."
        )


def _check(values: Values, counts: tuple[int, ...]) -> None:
    """Refuse statistics of one value."""
    least = values.number.min()
    if least < 2:
        raise ValueError(
            f"BatchNorm got {least:g} value a channel (local batches {[*counts]}); use larger "
            "ones, or drop_last=True where it is the last step of an epoch."
        )


def _shift(
    bias: torch.Tensor | None, center: torch.Tensor, wide: torch.Tensor, segments: Segments
) -> torch.Tensor:
    """Return what is added to the scaled batch: beta - mean * scale."""
    if bias is None:
        return torch.addcmul(center.new_zeros(()), center, wide, value=-1)
    return torch.addcmul(bias.view(segments.shape), center, wide, value=-1)


def _gradients(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """Return the gradients of ``x``, weight and bias, and None for the settings."""
    x, mean, invstd, scale, wide = ctx.saved_tensors
    segments, values, group = ctx.kept
    sum_dy = segments.total(dy)
    # not x - mean, a further pass: a mean of k standard deviations costs log10(k) digits, as in
    # rounding x
    dx = dy * x
    sum_dy_xhat = segments.total(dx).addcmul_(mean, sum_dy, value=-1).mul_(invstd)
    of_weight = sum_dy_xhat.sum(0)
    of_bias = sum_dy.sum(0)
    if group is not ALONE:
        sums = torch.stack([sum_dy, sum_dy_xhat]).double()
        dist.all_reduce(sums, group=group)
        sum_dy, sum_dy_xhat = sums.to(x)

    # dx = scale * (dy - sum_dy / m - xhat * sum_dy_xhat / m), as constant + of_x * x + wide * dy
    per_value = scale / values.negative
    of_x = sum_dy_xhat.mul_(per_value).mul_(invstd)
    constant = sum_dy.mul_(per_value).addcmul_(of_x, mean, value=-1)
    dx = torch.addcmul(segments.spread(constant), x, segments.spread(of_x), out=dx)
    dx.addcmul_(dy, wide)
    _, needs_weight, needs_bias, _ = ctx.needs_input_grad
    return dx, of_weight if needs_weight else None, of_bias if needs_bias else None, None
