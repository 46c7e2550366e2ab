r"""The balanced gradient in a ``DistributedDataParallel`` script of one's own.

DDP sums the replicas' gradients and divides by P. A replica's gradient is linear in the gradient of
its outputs, so scaling that small tensor is all there is to do: no extra pass over the gradients,
and DDP's buckets, overlap and compression hooks stay as they are. For a mean loss over m of the n
samples of a global step the factor is :math:`P\,m / n`; what the passes of a step add up to, on all
replicas, is the gradient of the mean over all n.
"""

import atexit
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_leaves, tree_map_only

from hetlib.balanced.checks import SelfCheck, check_weights, differentiable
from hetlib.balanced.counts import AnnouncedCounts, Counts, DealtCounts, Factor, SummedLoss
from hetlib.balanced.sampler import BalancedSampler
from hetlib.errors import one_of

Module = TypeVar("Module", bound=nn.Module)

# What is called behind a forward pass: with the model, what went in, and what came out.
Hook: TypeAlias = Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], Any]

# gloo's threads let go of the last backward pass a little later, and torch aborts a process that
# has ended by then.
atexit.register(time.sleep, 0.1)


def balance(
    model: Module,
    sampler: BalancedSampler | None = None,
    *,
    reduction: str = "mean",
    passes: int = 1,
    check: bool = False,
    verify_every: int = 0,
) -> Module:
    """Make a ``DistributedDataParallel`` model reduce the balanced gradient.

    That is the gradient of one process on the global batch. A step's batch may go through whole or
    in parts (micro-batches under ``no_sync``), in other numbers on each replica. Loss terms that do
    not pass through the model's outputs keep DDP's mean over the replicas.

    A pass in training mode raises ``RuntimeError`` when its batch is not the one that was dealt or
    announced.

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

    Returns:
        ``model``.

    Raises:
        TypeError: ``sampler`` or ``model`` is of another type.
        ValueError: A setting is not allowed, the sampler deals to another number of replicas, or
            the model has layers that ``check`` cannot repeat.

    Example:
        sampler = BalancedSampler(len(data), [96, 32])
        model = balance(DistributedDataParallel(network), sampler)
        loader = DataLoader(data, batch_sampler=sampler, collate_fn=collate(data))
    """
    _require_sampler(sampler)
    wrapped = _as_ddp(model)
    _require_settings(reduction, passes, verify_every)
    replicas = dist.get_world_size(wrapped.process_group)
    if sampler is not None:
        _require_replicas(sampler, replicas)

    counts: Counts
    if reduction == "sum":
        counts = SummedLoss(replicas)
    elif sampler is None:
        counts = AnnouncedCounts(wrapped)
    else:
        counts = DealtCounts(sampler, passes)
    watcher = SelfCheck(wrapped) if check else None
    balancer = Balancer(counts, verify_every, watcher)

    # where `announce` finds them
    wrapped._announced = counts  # type: ignore[assignment]
    # torch.compile of the wrapped model would bake one step's counts in.
    uncompiled: Callable[[Hook], Hook] = torch.compiler.disable
    wrapped.register_forward_hook(uncompiled(balancer.weigh), with_kwargs=True)
    return model


def announce(model: nn.Module, *counts: float | torch.Tensor) -> None:
    """Tell a model balanced without a sampler what the coming step divides its losses by.

    Every replica calls it, before each step; the sum over the replicas is reduced while the forward
    pass runs.

    Args:
        model: The one that `balance` returned.
        counts: One number >= 0 a pass of this replica: tokens, valid pixels, a sum of class
            weights.

    Raises:
        TypeError: The model is not one balanced without a sampler, for a mean.
        RuntimeError: Passes announced earlier were not made.
    """
    known = getattr(model, "_announced", None)
    if not isinstance(known, AnnouncedCounts):
        raise TypeError(
            "`model` takes no counts; make it with balance(DistributedDataParallel(...)), "
            "no sampler."
        )
    known.announce(counts)


class Balancer:
    """Weighs each pass of a model: the hook that `balance` registers behind its forward pass.

    Args:
        counts: Where the factor of each pass comes from.
        verify_every: Steps from one comparison of the replicas' weights to the next; 0 is never.
        watcher: The check of the first reduced gradient; ``None`` is no check.
    """

    def __init__(self, counts: Counts, verify_every: int, watcher: SelfCheck | None) -> None:
        self.counts = counts
        self.verify_every = verify_every
        self.watcher = watcher
        # steps begun, counted where weights are compared
        self.steps = 0

    def weigh(
        self,
        module: nn.Module,
        inputs: tuple[Any, ...],
        keywords: dict[str, Any],
        outputs: Any,
    ) -> Any:
        """Return the outputs of a pass, such that the gradient that comes back is weighted.

        Args:
            module: The ``DistributedDataParallel`` model.
            inputs: Positional arguments of the pass; the first tensor of all has the batch first.
            keywords: The other arguments.
            outputs: What the model returned, any pytree.

        Raises:
            TypeError: No gradient can come back through ``outputs``.
            RuntimeError: The batch is not the one that was dealt or announced, or the replicas'
                weights differ.
        """
        if not torch.is_grad_enabled():
            return None
        # an evaluation, which is no part of a step; training like this would go unweighted
        if not module.training:
            return scale_gradient(outputs, _refuse)
        if not differentiable(outputs):
            raise TypeError(
                f"the model returned a {type(outputs).__name__} without a tensor that needs a "
                "gradient; return tensors, lists, tuples or dicts, "
                "or register the type as a pytree."
            )

        factor = self.counts.factor(_samples(inputs, keywords))
        if self.verify_every:
            self._verify(module)
        scaled = scale_gradient(outputs, factor)
        if self.watcher is None:
            return scaled
        return self.watcher.watch(inputs, keywords, scaled, factor)

    def _verify(self, module: nn.Module) -> None:
        """Compare the replicas' weights, once in `verify_every` steps."""
        # Passes under no_sync differ in number between replicas, the others do not.
        if not module.require_backward_grad_sync:
            return
        self.steps += 1
        if self.steps % self.verify_every == 0:
            check_weights(module)


def _samples(inputs: tuple[Any, ...], keywords: dict[str, Any]) -> int:
    """Return the rows of the first tensor that a model was given."""
    leaves = tree_leaves((inputs, keywords))
    return next(leaf.shape[0] for leaf in leaves if isinstance(leaf, torch.Tensor))


def scale_gradient(outputs: Any, factor: Factor) -> Any:
    """Return ``outputs`` unchanged, such that gradients that flow back are multiplied.

    Args:
        outputs: Any pytree; its tensors that need a gradient are scaled.
        factor: Of the gradients; called, if it can be, when they come back.

    Returns:
        The same pytree; its tensors have the same values.
    """
    if factor == 1:
        return outputs
    return tree_map_only(torch.Tensor, partial(_scale_one, factor=factor), outputs)


def _scale_one(tensor: torch.Tensor, factor: Factor) -> torch.Tensor:
    if not tensor.requires_grad:
        return tensor
    scaled: torch.Tensor = _ScaleGradient.apply(tensor, factor)
    return scaled


class _ScaleGradient(torch.autograd.Function):
    """The identity, whose gradient is times a factor."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, factor: Factor) -> torch.Tensor:
        ctx.factor = factor
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        gradient = gradients[0]
        factor = ctx.factor
        if callable(factor):
            factor = factor()
        if not isinstance(factor, torch.Tensor):
            return gradient * factor, None
        # The mean over nothing has the gradient NaN, and NaN times 0 is NaN.
        used = factor.to(gradient.device) > 0
        return torch.where(used, gradient * factor, 0), None


def _refuse() -> float:
    """Stand for the factor of a pass that is no part of a step."""
    raise RuntimeError(
        "a backward pass through outputs of a model in evaluation mode, which are not weighted; "
        "call `model.train()` before the forward pass, and `eval()` on single layers only."
    )


def _require_sampler(sampler: object) -> None:
    if not (sampler is None or isinstance(sampler, BalancedSampler)):
        raise TypeError(
            f"`sampler` is a {type(sampler).__name__}; "
            "pass the BalancedSampler that deals the batches."
        )


def _as_ddp(model: nn.Module) -> DistributedDataParallel:
    if not isinstance(model, DistributedDataParallel):
        raise TypeError(
            f"`model` is a {type(model).__name__}; wrap it first in DistributedDataParallel."
        )
    return model


def _require_settings(reduction: str, passes: int, verify_every: int) -> None:
    one_of("reduction", reduction, ("mean", "sum"))
    if passes < 1 or verify_every < 0:
        raise ValueError(
            f"`passes` is {passes} and `verify_every` {verify_every}; allowed are >= 1 and >= 0."
        )


def _require_replicas(sampler: BalancedSampler, replicas: int) -> None:
    dealt_to = len(sampler.counts(0))
    if dealt_to != replicas:
        raise ValueError(f"`sampler` deals to {dealt_to} replicas, but the model has {replicas}.")
