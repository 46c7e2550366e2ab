r"""The weight belongs to the loss: one factor at the root of the backward pass.

With n_r samples on replica r, n in all, and P replicas whose gradients a framework averages,

.. math:: g = \frac{1}{P} \sum_r \nabla \left(\frac{P\,n_r}{n} L_r\right)
            = \sum_r \frac{n_r}{n} \nabla L_r,

the gradient of one process on the whole global batch (Moreno-Alvarez et al., GRSL 2022). The factor
multiplies the gradient with which the backward pass begins; the value of the loss, and so every
log, stays as it was. All that follows is linear: whatever lies between the loss and the weights is
right by itself.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
import torch.distributed as dist

from hetlib.balanced.loader import BalancedLoader
from hetlib.errors import one_of

# A number, or what is called for it once the backward pass begins.
Factor: TypeAlias = float | torch.Tensor | Callable[[], torch.Tensor]
Group: TypeAlias = dist.ProcessGroup | None

_MARK = "hetlib: balanced"  # on the graph node of a loss
# Operations between a loss and the scaled or summed one that a framework makes of it.
_ARITHMETIC = ("Div", "Mul", "Neg", "Add", "Sub", "Sum", "Mean", "ToCopy", "Clone", "Alias")
# Attributes under which frameworks keep the loader that they were given.
_INNER_LOADERS = ("_dataloader", "base_dataloader", "dataloader")


class AnnouncedCount:
    """A replica's count, and the sum over all replicas, which is on its way.

    Args:
        own: Count of this replica, 0-d float64.
        total: Becomes the sum over the replicas, 0-d float64.
        work: The reduction that makes it so; ``None`` without other replicas.
        replicas: Their number, P.
    """

    def __init__(
        self, own: torch.Tensor, total: torch.Tensor, work: Any | None, replicas: int
    ) -> None:
        self.own = own
        self.replicas = replicas
        self._total = total
        self._work = work

    def factor(self) -> torch.Tensor:
        """Return P times the part of all counts that is this replica's; 0 where all are 0."""
        if self._work is not None:
            self._work.wait()
            self._work = None
        part = self.replicas * self.own / self._total
        return torch.where(self._total > 0, part, 0.0)


@torch.compiler.disable
def announce(count: float | torch.Tensor, *, group: Group = None) -> AnnouncedCount:
    """Begin to sum what only each replica can count, while its forward pass runs.

    Every replica of the group calls it, in the same order, and gives the result to `balance`, once
    or several times.

    Args:
        count: What this replica's loss is divided by: tokens, valid pixels, a sum of class weights.
            A number >= 0, or a tensor with one element.
        group: Process group of the replicas; ``None`` is the default one.

    Returns:
        The count, for ``balance(loss, count=...)``.

    Raises:
        ValueError: ``count`` is no finite number >= 0.
    """
    device = _device_of(group)
    own = torch.as_tensor(count).detach().reshape(()).to(device, torch.float64)
    if own.device.type == "cpu" and not 0 <= float(own) < math.inf:
        raise ValueError(f"`count` is {float(own)}; it must be a finite number >= 0.")
    total = own.clone()
    replicas = world_of(group)
    work = None
    if replicas > 1:
        work = dist.all_reduce(total, group=group, async_op=True)
    return AnnouncedCount(own, total, work, replicas)


def _device_of(group: Group) -> torch.device:
    """Return where a group reduces numbers: NCCL on this process's GPU, others on the CPU."""
    if dist.is_initialized() and dist.get_backend(group) == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def world_of(group: Group = None) -> int:
    """Return the number of replicas of a group, 1 without a job."""
    return dist.get_world_size(group) if dist.is_initialized() else 1


@torch.compiler.disable
def balance(
    loss: torch.Tensor,
    loader: Any | None = None,
    *,
    count: float | torch.Tensor | AnnouncedCount | None = None,
    samples: int | None = None,
    reduction: str = "mean",
    group: Group = None,
) -> torch.Tensor:
    """Weight a loss so that the averaged gradient is that of one process on the global batch.

    Several losses of one batch may be balanced, each once, and one loss may be passed backward
    several times. A replica without samples takes part with a loss over none, which contributes
    nothing.

    Args:
        loss: The mean over this replica's samples, as ever, with a gradient to come.
        loader: The `BalancedLoader` that handed the batch out, also as Fabric or Accelerate hand it
            on: it knows the samples of each replica. Its position moves behind the batch.
        count: What the loss is the mean over, where only the replica knows (valid pixels, tokens),
            or where the loop reads ahead: a number, which is summed over the group now, or what
            `announce` returned.
        samples: Samples of this part of the batch, where it goes through in parts (micro-batches)
            whose losses are means over their own samples.
        reduction: ``"mean"``, or ``"sum"`` for a loss that is a sum over samples: no counts.
        group: Process group that averages the gradients; ``None`` is the default one.

    Returns:
        The same tensor, with its value.

    Raises:
        ValueError: Arguments that are not allowed or do not go together.
        RuntimeError: The loss needs no gradient, was balanced before, or does not belong to the
            batch that was handed out last; the message says what to do.

    >>> loss = torch.ones(3, requires_grad=True).mean()
    >>> balance(loss, count=3) is loss
    True
    """
    one_of("reduction", reduction, ("mean", "sum"))
    dealer = None if loader is None else balanced_loader(loader)
    _require_weightable(loss)
    _require_one_source(dealer, count, samples, reduction)

    if reduction == "sum":
        if dealer is not None:
            dealer.take_batch(counted=True)
        weigh(loss, float(world_of(group)))
    elif count is not None:
        announced = count
        if not isinstance(announced, AnnouncedCount):
            announced = announce(announced, group=group)
        if dealer is not None:
            dealer.take_batch(counted=True)
        _require_finite_below(loss, announced.own)
        weigh(loss, announced.factor)
    elif dealer is not None:
        weigh(loss, dealer.take_batch(samples=samples))
    _mark(loss)
    return loss


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
    tensor.register_hook(_Weight(factor))
    return tensor


class _Weight:
    """The hook: gradient in, gradient times factor out."""

    def __init__(self, factor: Factor) -> None:
        self._factor = factor

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        factor = self._factor
        if callable(factor):
            factor = factor()
        if isinstance(factor, torch.Tensor):
            factor = factor.to(gradient.device, gradient.dtype)
            # The mean over nothing has the gradient NaN, and NaN times 0 is NaN.
            return torch.where(factor > 0, gradient * factor, 0)
        if factor == 0:
            return torch.zeros_like(gradient)
        return gradient * factor


def balanced_loader(loader: Any) -> BalancedLoader:
    """Return the `BalancedLoader` within what a framework made of it.

    Raises:
        TypeError: There is none; the message says what to do.
    """
    seen = loader
    while seen is not None:
        if isinstance(seen, BalancedLoader):
            return seen
        inner = None
        for name in _INNER_LOADERS:
            inner = inner or vars(seen).get(name) if hasattr(seen, "__dict__") else None
        seen = inner
    raise TypeError(
        f"`loader` is a {type(loader).__name__}; pass the BalancedLoader that deals the batches, "
        "or `count=` for batches of another loader."
    )


def _require_weightable(loss: torch.Tensor) -> None:
    if not isinstance(loss, torch.Tensor):
        raise ValueError(f"`loss` is a {type(loss).__name__}; it must be a tensor.")
    if not loss.requires_grad:
        raise RuntimeError(
            "`loss` needs no gradient (was it computed under no_grad, or detached?), so there is "
            "nothing to balance; in an evaluation leave `balance` out."
        )
    if any(_MARK in node.metadata for node in _roots(loss)):
        raise RuntimeError(
            "this loss was balanced before, and would be weighted twice; balance each loss once, "
            "in the loop or in the framework's callback."
        )


def _require_one_source(
    dealer: BalancedLoader | None, count: Any, samples: int | None, reduction: str
) -> None:
    if reduction == "sum" and not (count is None and samples is None):
        raise ValueError(f"`reduction` is 'sum', which needs no counts; got {count=}, {samples=}.")
    if reduction == "mean" and dealer is None and count is None:
        raise ValueError(
            "give `loader`, the BalancedLoader that dealt the batch, or `count`, what the loss is "
            "the mean over on this replica."
        )
    if samples is not None and (dealer is None or count is not None):
        raise ValueError(f"`samples` is {samples}; it is for parts of a loader's batch, no count.")


def _mark(loss: torch.Tensor) -> None:
    if loss.grad_fn is not None:
        loss.grad_fn.metadata[_MARK] = True


def _roots(loss: torch.Tensor) -> Iterator[Any]:
    """Yield the loss's graph node, and those of the losses that it was scaled or summed from."""
    waiting = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        yield node
        if node.name().removesuffix("0").removesuffix("Backward") in _ARITHMETIC:
            waiting.extend(before for before, _ in node.next_functions)


def _require_finite_below(loss: torch.Tensor, own: torch.Tensor) -> None:
    """Refuse a count of 0 whose loss makes NaN of the gradient 0, as 0 / 0 of a masked mean does."""
    if own.device.type != "cpu" or float(own) > 0 or bool(torch.isfinite(loss).all()):
        return
    leaves = list(_leaves(loss))
    zeros = torch.zeros_like(loss)
    gradients = torch.autograd.grad(loss, leaves, zeros, retain_graph=True, allow_unused=True)
    if any(g is not None and not bool(torch.isfinite(g).all()) for g in gradients):
        raise RuntimeError(
            "the count of this replica is 0 and its loss divides by it: the gradient 0 becomes NaN "
            "below the loss; divide by max(count, 1), or leave the division to a loss of torch."
        )


def _leaves(loss: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the weights below a loss."""
    waiting = [loss.grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting.extend(before for before, _ in node.next_functions)
