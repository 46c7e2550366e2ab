r"""The weight belongs to the loss: one factor at the root of the backward pass.

With n_r samples on replica r, n in all, and P replicas whose gradients a framework averages,

.. math:: g = \frac{1}{P} \sum_r \nabla \left(\frac{P\,n_r}{n} L_r\right)
            = \sum_r \frac{n_r}{n} \nabla L_r,

the gradient of one process on the whole global batch (Moreno-Alvarez et al., GRSL 2022). The factor
multiplies the gradient with which the backward pass begins; the value of the loss, and so every
log, stays as it was. All that follows is linear: whatever lies between the loss and the weights is
right by itself.
"""

import atexit
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.distributed as dist

from hetlib.balanced.counting import AnnouncedCount, Group, announce, world_of
from hetlib.balanced.graph import is_marked, mark, pools_batchnorm, refuse_nan
from hetlib.balanced.loader import BalancedLoader
from hetlib.balanced.progress import HandedOut
from hetlib.balanced.sharded import refuse_other_divisor
from hetlib.balanced.watching import note_balanced
from hetlib.errors import shown
from hetlib.inputs import one_of, optional, whole

# A number, or what is called for it once the backward pass begins.
Factor: TypeAlias = float | torch.Tensor | Callable[[], torch.Tensor]
Count: TypeAlias = float | torch.Tensor | AnnouncedCount | None

# Attributes under which frameworks keep the loader that they were given.
_INNER_LOADERS = ("_dataloader", "base_dataloader", "dataloader")

# gloo's threads let go of the last backward pass a little later, and torch aborts a process that
# has ended by then.
atexit.register(time.sleep, 0.1)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def balance(
    loss: torch.Tensor,
    loader: Any | None = None,
    *,
    count: Count = None,
    samples: int | torch.Tensor | None = None,
    reduction: str = "mean",
    group: Group = None,
) -> torch.Tensor:
    """Weight a loss so that the averaged gradient is that of one process on the global batch.

    Several losses of one batch may be balanced, each once, and one loss may be passed backward
    several times. A replica without samples takes part with a loss over none, which contributes
    nothing. The loss may be scaled before and behind.

    Args:
        loss: The mean over this replica's samples, as ever, with a gradient to come.
        loader: The `BalancedLoader` that handed the batch out, also as Fabric or Accelerate hand it
            on: it knows the samples of each replica. Its position moves behind the batch.
        count: What the loss is the mean over, where only the replica knows (valid pixels, tokens),
            or where the loop reads ahead: a number, which is summed over the group now, or what
            `announce` returned. With the loader named too, its position moves behind the oldest
            batch that was not balanced; name it in one loss of a batch.
        samples: What this loss is the mean over, where a batch goes through in parts
            (micro-batches): its part of the loader's batch, or of an announced count.
        reduction: ``"mean"``, or ``"sum"`` for a loss that is a sum over samples: no counts.
        group: Process group that averages the gradients; ``None`` is the default one.

    Returns:
        The same tensor, with its value.

    Raises:
        ValueError: Arguments that are not allowed or do not go together.
        RuntimeError: The loss needs no gradient, was balanced before, or does not belong to the
            batch that was handed out last, or FSDP2 was told to divide by another number than the
            replicas; the message says what to do.

    >>> loss = torch.ones(3, requires_grad=True).mean()
    >>> balance(loss, count=3) is loss
    True
    """
    one_of("reduction", reduction, ("mean", "sum"))
    dealer = None if loader is None else balanced_loader(loader)
    _require_weightable(loss)
    _require_one_source(dealer, count, samples, reduction)
    refuse_other_divisor(loss, world_of(group))

    factor: Factor
    if reduction == "sum":
        factor = _factor_of_sum(loss, dealer, group)
    elif count is not None:
        factor = _factor_of_count(loss, dealer, count, samples, group)
    else:
        assert dealer is not None
        batch, factor = dealer.take_batch(optional(whole, "samples", samples, low=0))
        _require_replicas(batch, group)
        _require_alone(batch, loss)
        if factor == 0:
            refuse_nan(loss)
    weigh(loss, factor)
    mark(loss)
    note_balanced()
    return loss


def _factor_of_sum(loss: torch.Tensor, dealer: BalancedLoader | None, group: Group) -> float:
    if dealer is not None:
        batch, is_filler = dealer.take_counted_batch()
        _require_alone(batch, loss)
        if is_filler:
            return 0.0
    return float(world_of(group))


def _factor_of_count(
    loss: torch.Tensor,
    dealer: BalancedLoader | None,
    count: Any,
    samples: int | torch.Tensor | None,
    group: Group,
) -> Factor:
    is_filler = False
    if dealer is not None:
        batch, is_filler = dealer.take_counted_batch()
        _require_alone(batch, loss)
    announced = count
    if not isinstance(announced, AnnouncedCount):
        announced = announce(0 if is_filler else announced, group=group)
    part = announced.part(samples)
    if is_filler and not part.is_nothing:
        raise RuntimeError(
            "a count was announced, but 0 samples were dealt to this replica: with empty='sample' "
            "its batch is one sample of weight 0, so announce 0 (`loader.counts` says it)."
        )
    if part.is_nothing:
        refuse_nan(loss)
    factor: Factor = part.factor
    return factor


def weigh(tensor: torch.Tensor, factor: Factor) -> torch.Tensor:
    """Multiply the gradient that comes back to a tensor; its value stays.

    Args:
        tensor: A loss, or the losses of samples.
        factor: A number >= 0, a tensor that fits the gradient, or what is called for one when the
            gradient comes back.

    Returns:
        The tensor.
    """
    if isinstance(factor, float) and factor == 1.0:
        return tensor
    register: Any = tensor.register_hook
    register(_Weight(factor))
    return tensor


class _Weight:
    """The hook: gradient in, gradient times factor out."""

    def __init__(self, factor: Factor) -> None:
        self._factor = factor

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        factor = self._factor
        if callable(factor):
            factor = factor()
        if isinstance(factor, torch.Tensor) and not factor.ndim and factor.device.type == "cpu":
            # as a number it is not rounded to the gradient's type first
            factor = float(factor)
        # The mean over nothing has the gradient NaN, and NaN times 0 is NaN.
        if isinstance(factor, torch.Tensor):
            factor = factor.to(gradient.device)
            weighted = (gradient * factor).to(gradient.dtype)
            return torch.where(factor == 0, torch.zeros_like(weighted), weighted)
        if factor == 0:
            return torch.zeros_like(gradient)
        return gradient * factor


def balanced_loader(loader: Any) -> BalancedLoader:
    """Return the `BalancedLoader` within what a framework made of it.

    Args:
        loader: The loader, or what holds it.

    Raises:
        TypeError: There is none; the message says what to do.
    """
    seen = loader
    while seen is not None:
        if isinstance(seen, BalancedLoader):
            return seen
        kept = vars(seen) if hasattr(seen, "__dict__") else {}
        inner = [kept[name] for name in _INNER_LOADERS if kept.get(name) is not None]
        seen = inner[0] if inner else None
    raise TypeError(
        f"`loader` is a {type(loader).__name__}; pass the BalancedLoader that deals the batches, "
        "or `count=` for batches of another loader."
    )


def _require_weightable(loss: Any) -> None:
    if not isinstance(loss, torch.Tensor):
        raise TypeError(
            f"`loss` is a {type(loss).__name__}; give the tensor that `backward` is called on. "
            "Models are no longer balanced, losses are: balance(loss, loader).backward()."
        )
    if not loss.requires_grad:
        raise RuntimeError(
            "`loss` needs no gradient (was it computed under no_grad, or detached?), so there is "
            "nothing to balance; in an evaluation leave `balance` out."
        )
    if loss.grad_fn is None:
        raise RuntimeError(
            "`loss` is a weight itself, not computed from one; the factor would stay on it for "
            "good."
        )
    if is_marked(loss):
        raise RuntimeError(
            "this loss was balanced before, and would be weighted twice; balance each loss once, "
            "in the loop or in the framework's callback."
        )


def _require_one_source(
    dealer: BalancedLoader | None, count: Any, samples: Any, reduction: str
) -> None:
    if reduction == "sum" and not (count is None and samples is None):
        raise ValueError(
            "`reduction` is 'sum', which needs no counts; got "
            f"count={shown(count)}, samples={shown(samples)}."
        )
    if reduction == "mean" and dealer is None and count is None:
        raise ValueError(
            "give `loader`, the BalancedLoader that dealt the batch, or `count`, what the loss is "
            "the mean over on this replica."
        )
    if samples is not None and count is not None and not isinstance(count, AnnouncedCount):
        raise ValueError(
            f"`samples` is {shown(samples)} and `count` {shown(count)}; announce the count of all "
            "parts once, and give what `announce` returned as `count`."
        )


def _require_replicas(batch: HandedOut, group: Group) -> None:
    replicas = len(batch.counts)
    if dist.is_initialized() and world_of(group) != replicas:
        raise ValueError(
            f"`loader` deals to {replicas} replicas, but {world_of(group)} processes average the "
            "gradients; plan for as many, or name their `group`."
        )


def _require_alone(batch: HandedOut | None, loss: torch.Tensor) -> None:
    """Refuse a sample that fills a place and is counted by the others' statistics."""
    if batch is not None and batch.fills and pools_batchnorm(loss):
        raise RuntimeError(
            "BatchNorm over all replicas counts the sample that empty='sample' gives a replica "
            "without samples; make the loader with empty='rows', or drop_last=True."
        )
