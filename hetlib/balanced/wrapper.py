r"""The balanced gradient in a ``DistributedDataParallel`` script of one's own.

DDP sums the replicas' gradients and divides by P. A replica's gradient is linear in the gradient of
its outputs, so scaling that small tensor is all there is to do: no extra pass over the gradients,
and DDP's buckets, overlap and compression hooks stay as they are. For a mean loss over m of the n
samples of a global step the factor is :math:`P\,m / n`; what the passes of a step add up to, on all
replicas, is the gradient of the mean over all n.
"""

import atexit
import itertools
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_leaves, tree_map_only

from hetlib.balanced.checks import SelfCheck, check_weights, differentiable
from hetlib.balanced.sampler import BalancedSampler

Module = TypeVar("Module", bound=nn.Module)


Factor = Callable[[], float | torch.Tensor]


# gloo's threads let go of the last backward pass a little later, and torch aborts a process that
# has ended by then.
atexit.register(time.sleep, 0.1)


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, factor: float | Factor) -> torch.Tensor:
        ctx.factor = factor
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        factor = ctx.factor() if callable(ctx.factor) else ctx.factor
        if not isinstance(factor, torch.Tensor):
            return gradients[0] * factor, None
        # The mean over nothing has the gradient NaN, and NaN times 0 is NaN.
        return torch.where(factor.to(gradients[0].device) > 0, gradients[0] * factor, 0), None


def scale_gradient(outputs: Any, factor: float | Factor) -> Any:
    """Return ``outputs`` (any pytree) unchanged; gradients that flow back are times ``factor``, called if it can be."""
    if factor == 1:
        return outputs
    return tree_map_only(
        torch.Tensor, lambda o: _ScaleGradient.apply(o, factor) if o.requires_grad else o, outputs
    )


class _Dealt:
    """Factor of a pass from the counts that the sampler dealt: every rank knows them all without asking."""

    def __init__(self, sampler: BalancedSampler, passes: int) -> None:
        self.sampler, self.passes = sampler, passes
        self.counts: tuple[int, ...] = ()  # of the current step
        self.left = 0  # what this replica has still to process in it, in samples times passes

    def __call__(self, size: int) -> float:
        rank, dealt = self.sampler.rank, self.sampler.dealt
        if self.left == 0 and dealt:
            self.counts = dealt.popleft()
            # without samples, a pass is one empty batch
            self.left = self.passes * max(self.counts[rank], 1)
        own = self.counts[rank] if self.left else None
        if own is None or size > self.left or (size == 0) != (own == 0):
            expected = (
                "no step" if own is None else f"{own}, of which {self.left} are left to process"
            )
            raise RuntimeError(
                f"replica {rank} got a batch of {size}, but the sampler dealt {expected}; take the batches from a "
                "DataLoader(..., batch_sampler=sampler), whole or in parts; set `passes` if samples pass several times."
            )
        self.left -= max(size, 1)
        return len(self.counts) * size / sum(self.counts)


class _Announced:
    """Factor of a pass from counts that only each rank knows; their sum travels while the model computes."""

    def __init__(self, model: DistributedDataParallel) -> None:
        self.group, self.replicas = model.process_group, dist.get_world_size(model.process_group)
        self.device = (
            next(model.parameters()).device
            if dist.get_backend(self.group) == "nccl"
            else torch.device("cpu")
        )
        self.factors: deque[Factor] = deque()

    def announce(self, counts: tuple[float | torch.Tensor, ...]) -> None:
        if self.factors:
            raise RuntimeError(
                f"{len(self.factors)} announced passes were not made; announce once, before each step."
            )
        own = torch.stack(
            [torch.as_tensor(count).to(self.device, torch.float64) for count in counts]
        )
        total = own.sum()
        work: Any = dist.all_reduce(total, group=self.group, async_op=True)

        def factor(count: torch.Tensor) -> torch.Tensor:
            work.wait()
            return self.replicas * count / total

        self.factors.extend(partial(factor, count) for count in own)

    def __call__(self, size: int) -> Factor:
        if not self.factors:
            raise RuntimeError(
                "no count for this pass; call `announce(model, count)` before it, or give a sampler."
            )
        return self.factors.popleft()


def balance(
    model: Module,
    sampler: BalancedSampler | None = None,
    *,
    reduction: str = "mean",
    passes: int = 1,
    check: bool = False,
    verify_every: int = 0,
) -> Module:
    """Make a ``DistributedDataParallel`` model reduce the balanced gradient: that of one process on the global batch.

    A step's batch may go through whole or in parts (micro-batches under ``no_sync``), in other
    numbers on each replica. Loss terms that do not pass through the model's outputs keep DDP's mean
    over the replicas.

    Args:
        model: Changed in place and returned. For ``torch.compile``, compile the module inside.
        sampler: The one that deals the batches: it knows every n_r. ``None`` when the loss is a
            mean over something that only the rank can count (tokens, valid pixels, class weights):
            see `announce`.
        reduction: ``"mean"`` when the loss is a mean, as usual; ``"sum"`` when it is a sum, which
            needs no counts.
        passes: How often each sample goes through the model in a step (2 for pairs of views).
        check: Compare the first reduced gradient with one process that sees the whole batch; see
            `SelfCheck`.
        verify_every: Compare the replicas' weights every so many steps; 0 is never. See
            `check_weights`.

    A pass in training mode raises ``RuntimeError`` when its batch is not the one that was dealt or
    announced.
    """
    if not (sampler is None or isinstance(sampler, BalancedSampler)):
        raise TypeError(
            f"`sampler` is a {type(sampler).__name__}; pass the BalancedSampler that deals the batches."
        )
    if not isinstance(model, DistributedDataParallel):
        raise TypeError(
            f"`model` is a {type(model).__name__}; wrap it first in DistributedDataParallel."
        )
    if reduction not in ("mean", "sum"):
        raise ValueError(f"`reduction` is {reduction!r}; allowed are 'mean' and 'sum'.")
    if passes < 1 or verify_every < 0:
        raise ValueError(
            f"`passes` is {passes} and `verify_every` {verify_every}; allowed are >= 1 and >= 0."
        )
    replicas = dist.get_world_size(model.process_group)
    if sampler is not None and len(sampler.counts(0)) != replicas:
        raise ValueError(
            f"`sampler` deals to {len(sampler.counts(0))} replicas, but the model has {replicas}."
        )
    source: Callable[[int], Any] = _Announced(model) if sampler is None else _Dealt(sampler, passes)
    source = source if reduction == "mean" else lambda size: float(replicas)
    watcher = SelfCheck(model) if check else None
    steps = itertools.count(1)

    # torch.compile of the wrapped model would bake one step's counts in.
    @torch.compiler.disable
    def weigh(
        module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], outputs: Any
    ) -> Any:
        if not torch.is_grad_enabled():
            return None
        # an evaluation, which is no part of a step; training like this would go unweighted
        if not module.training:
            return scale_gradient(outputs, _refuse)
        if not differentiable(outputs):
            got = f"the model returned a {type(outputs).__name__} without a tensor that needs a gradient"
            raise TypeError(
                f"{got}; return tensors, lists, tuples or dicts, or register the type as a pytree."
            )
        size = next(
            leaf.shape[0]
            for leaf in tree_leaves((inputs, keywords))
            if isinstance(leaf, torch.Tensor)
        )
        factor = source(size)
        # Passes under no_sync differ in number between replicas, the others do not.
        if verify_every and module.require_backward_grad_sync and next(steps) % verify_every == 0:
            check_weights(module)
        scaled = scale_gradient(outputs, factor)
        return scaled if watcher is None else watcher.watch(inputs, keywords, scaled, factor)

    model._announced = source  # type: ignore[assignment]
    model.register_forward_hook(weigh, with_kwargs=True)
    return model


def _refuse() -> float:
    reason = "a backward pass through outputs of a model in evaluation mode, which are not weighted"
    raise RuntimeError(
        f"{reason}; call `model.train()` before the forward pass, and `eval()` on single layers only."
    )


def announce(model: nn.Module, *counts: float | torch.Tensor) -> None:
    """Tell a model balanced without a sampler what each pass of the coming step divides its loss by, on this replica.

    One number >= 0 a pass: tokens, valid pixels, a sum of class weights. Every replica calls it,
    before each step; the sum over the replicas is reduced while the forward pass runs.
    """
    if not isinstance(source := getattr(model, "_announced", None), _Announced):
        raise TypeError(
            "`model` takes no counts; make it with balance(DistributedDataParallel(...)), no sampler."
        )
    source.announce(counts)
