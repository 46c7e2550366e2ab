"""From a clock to a plan, for a job of one's own.

A model is timed on every replica at once, then real steps of the few plans that may win. Copies are
timed: the model itself, random states and gradients stay as they were.
"""

import inspect
import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_leaves

from hetlib.balanced.batchnorm import BalancedBatchNorm
from hetlib.containers import mapping
from hetlib.environment import environment
from hetlib.errors import wrong
from hetlib.inputs import MOST_SAMPLES, flag, number, optional, whole
from hetlib.planning.copies import left_as_it_was
from hetlib.planning.decision import decide
from hetlib.planning.example import Example, Loss, mean_square, tensors
from hetlib.planning.identity import function_text
from hetlib.planning.memory import LossOf
from hetlib.planning.partition import Partition
from hetlib.planning.progress import spending
from hetlib.planning.ranks import RefusedElsewhereError, gather, refused_by_all, require_same
from hetlib.planning.reuse import stored_plan
from hetlib.planning.store import PlanFile
from hetlib.planning.timing import Task, capped
from hetlib.replicas.platform import Replica

# Returns an optimizer of parameters.
OptimizerOf: TypeAlias = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

# By these, processes are told which network they talk over.
_INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "NCCL_IB_HCA")


def plan(
    model: nn.Module,
    example_batch: Any,
    *,
    global_batch: int,
    loss: Loss | None = None,
    optimizer: OptimizerOf | None = None,
    seconds: float = 10,
    accumulate: bool = False,
    store: Path | str | None = None,
    progress: bool | None = None,
    **replica: Any,
) -> Partition:
    """Plan a job of one's own: every rank times itself, all ranks get the same plan.

    Times steps of copies of the model, on all ranks at once, alone and then under DDP. The model,
    its gradients and the random states are afterwards as they were. Every rank has to call it.

    Args:
        model: The model on this rank's device, not yet wrapped in DDP.
        example_batch: A batch with any number of samples >= 1, on the same device. The model gets
            the entries of a dict as keywords, those of a tuple by position, anything else as its
            only argument. Tensors have a row a sample, ``(n, ...)``; a number, a 0-d tensor or a
            text is passed on as it is. Where samples are no rows (time first, a list of images, a
            matrix that all share): a function that takes n and returns a batch of n samples.
        global_batch: Samples a step over all replicas.
        loss: The loss that is trained, ``loss(model, batch)``: a 0-d tensor from the model that it
            is given (call that one) and a batch in the form of ``example_batch``. By default the
            mean squares of the model's outputs, which costs about as much as a usual loss. Other
            networks that it uses are used as they are.
        optimizer: Makes the optimizer that is trained with, ``optimizer(parameters)``, such as
            ``torch.optim.Adam``; its learning rate is set to 0. By default SGD with momentum.
        seconds: Budget. Plans whose steps last long may take more; ``plan.note`` says so then.
        accumulate: Shares may exceed what fits: rank r takes its own in ``plan.passes[r]`` parts,
            under ``no_sync``.
        store: Folder of plans on rank 0's machine. One of the same model, loss, optimizer, shapes,
            replicas, hosts and versions is used again, if the link between replicas is as fast.
        progress: Whether rank 0 shows a bar; by default on a terminal and in a notebook that is no
            batch run.
        replica: More about this rank, as for `Replica`: ``max_batch`` (by default what fits),
            ``multiple``.

    Returns:
        The plan: ``plan.shares[r]`` samples a step for rank r, and the times behind it.

    Raises:
        ValueError: An argument is not allowed, or differs between ranks, no choice of replicas
            takes exactly the global batch, the model does not run on the example, or ``accumulate``
            is asked for a model whose BatchNorm needs the whole batch at once.
        RuntimeError: Another rank has refused what it was given.

    Example:
        >>> def loss(model, batch):  # doctest: +SKIP
        ...     images, labels = batch
        ...     return F.cross_entropy(model(images), labels)
        >>> batch = (images, labels)
        >>> plan = hetlib.plan(model, batch, global_batch=128, loss=loss)  # doctest: +SKIP
        >>> loader = hetlib.BalancedLoader(data, plan)  # doctest: +SKIP
    """
    begin = time.perf_counter()
    with refused_by_all("plan"):
        global_batch = whole("global_batch", global_batch, low=1, high=MOST_SAMPLES)
        seconds = number("seconds", seconds, above=0)
        accumulate = flag("accumulate", accumulate)
        progress = optional(flag, "progress", progress)
        _refuse_no_function("loss", loss)
        _refuse_no_function("optimizer", optimizer)
        _refuse_what_cannot_be_timed(model, accumulate)
        own_replica = _own_replica(model, replica, global_batch)
        task = _task_of(model, example_batch, loss, optimizer, own_replica)
    require_same(global_batch=global_batch, accumulate=accumulate)
    with (
        left_as_it_was(model, example_batch, loss, optimizer),
        torch.inference_mode(mode=False),
        torch.enable_grad(),
    ):
        with refused_by_all("plan"):
            task.optimizer_of(model)  # an error of it is said as such
            own = _identity(task, example_batch, [loss, optimizer])
        known = gather(own)
        with refused_by_all("plan"):
            file = PlanFile(store, [global_batch, accumulate, known])
        again = stored_plan(file, len(known), global_batch, model)
        if again.plan is not None:
            return again.plan

        leads = not dist.is_initialized() or dist.get_rank() == 0
        with spending("planning", seconds, progress if leads else False):
            bounded = _bounded(task, loss)
            spent = time.perf_counter() - begin
            found = decide(bounded, global_batch, seconds, accumulate=accumulate, spent=spent)
    if leads:
        file.write(found, again.link)
    return found


def _task_of(
    model: nn.Module,
    example_batch: Any,
    loss: Loss | None,
    optimizer: OptimizerOf | None,
    replica: Replica,
) -> Task:
    """Return what this rank times."""
    return Task(
        replica=replica,
        network=model,
        loss_of=_loss_of(Example(example_batch), loss or mean_square),
        optimizer_of=_optimizer_of(optimizer or _sgd),
    )


def _refuse_no_function(name: str, given: object) -> None:
    if given is not None and not callable(given):
        raise wrong(name, given, "None or a function")


def _refuse_what_cannot_be_timed(model: object, accumulate: bool) -> None:
    if not isinstance(model, nn.Module):
        raise wrong("model", model, "a torch.nn.Module on the device of this rank")
    if isinstance(model, DistributedDataParallel):
        raise ValueError("`model` is wrapped in DDP; allowed is the network in it: model.module.")
    _refuse_without_values(model)
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ValueError("`model` has no weight that is trained; allowed is one with some.")
    batch_statistics = any(isinstance(layer, BalancedBatchNorm) for layer in model.modules())
    if accumulate and batch_statistics:
        raise ValueError(
            "`accumulate` is True for a model with BalancedBatchNorm; "
            "allowed: False, or another norm."
        )


def _refuse_without_values(model: nn.Module) -> None:
    for weight in model.parameters():
        if isinstance(weight, nn.parameter.UninitializedParameter):
            raise ValueError("`model` has lazy layers; run a batch through it, then plan.")
        if weight.is_meta:
            raise ValueError("`model` has weights without values (meta device); load them first.")


def _own_replica(model: nn.Module, more: dict[str, Any], global_batch: int) -> Replica:
    """Return this rank as a replica: where its model is, with what the caller says of it."""
    device = next(model.parameters()).device
    allowed = [field.name for field in fields(Replica) if field.name != "device"]
    options = {"threads": torch.get_num_threads(), **mapping("replica", more, allowed)}
    replica = Replica(device=str(device), **options)
    if replica.multiple > global_batch:
        words = f"a whole number <= `global_batch`, which is {global_batch}"
        raise wrong("multiple", replica.multiple, words)
    return replica


def _bounded(task: Task, loss: Loss | None) -> Task:
    """Return the task with bounds of its batch; an error of its first steps says what to change."""
    try:
        return capped(task)
    except RefusedElsewhereError:
        raise
    except Exception as error:
        if loss is not None:
            what = "`loss(model, example_batch)` cannot be trained"
            mend = "give a `loss` that takes a model and a batch and returns a number to train"
        else:
            what = "the model does not run on `example_batch`"
            mend = (
                "give what the model takes: a tensor, a tuple of them, a dict of keywords, or a "
                "function of the number of samples that returns one of these; (batch,) passes a "
                "batch of any form as the only argument"
            )
        got = f"{type(error).__name__}: {error}"
        raise ValueError(f"{what} ({got}); {mend}.") from error


def _loss_of(example: Example, loss: Loss) -> LossOf:
    """Return a loss of any model on n samples in the form of an example."""

    def of_samples(network: nn.Module, n: int) -> torch.Tensor:
        try:
            return loss(network, example.of(n))
        except AttributeError as error:
            if error.obj is not network or not isinstance(network, DistributedDataParallel):
                raise
            raise ValueError(
                f"`loss` asks the model for `{error.name}`, but DDP, which is around it in "
                "training, has its forward pass alone: call the model itself, "
                "`loss(model, batch)` with model(...)."
            ) from error

    return of_samples


def _optimizer_of(make: OptimizerOf) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """Return what makes an optimizer of a network that costs what it does but moves no weight."""

    def of_network(network: nn.Module) -> torch.optim.Optimizer:
        made: Any = make(list(network.parameters()))
        if not isinstance(made, torch.optim.Optimizer):
            kind = type(made).__name__
            raise ValueError(f"`optimizer` made a {kind}; allowed is a torch.optim.Optimizer.")
        closure = inspect.signature(made.step).parameters.get("closure")
        if closure is not None and closure.default is inspect.Parameter.empty:
            kind = type(made).__name__
            raise ValueError(
                f"`optimizer` is {kind}, whose step needs a closure; plan with another."
            )
        for group in made.param_groups:
            rate = group.get("lr")
            still = torch.zeros_like(rate) if isinstance(rate, torch.Tensor) else 0.0
            group["lr"] = still
        optimizer: torch.optim.Optimizer = made
        return optimizer

    return of_network


_sgd = partial(torch.optim.SGD, lr=0.0, momentum=0.9)


def _identity(
    task: Task, example_batch: Any, functions: list[Callable[..., Any] | None]
) -> list[Any]:
    """Return what a plan depends on, of this rank: what is trained, where, by which versions."""
    weights = []
    for name, weight in task.network.named_parameters():
        weights.append([name, weight.shape, str(weight.dtype), weight.requires_grad])
    batch = Example(example_batch).of(task.few)
    shapes = [[list(tensor.shape), str(tensor.dtype)] for tensor in tensors(batch)]
    values = [value for value in tree_leaves(batch) if isinstance(value, int | float | str)]
    return [
        str(task.network),
        weights,
        [shapes, values],
        [function_text(function) for function in functions],
        asdict(task.replica),
        _place(),
        environment(),
    ]


def _place() -> list[Any]:
    """Return where this rank runs and over what it talks; a list of all is the job's layout."""
    backend = dist.get_backend() if dist.is_initialized() else ""
    interfaces = [os.environ.get(name, "") for name in _INTERFACES]
    return [platform.node(), backend, interfaces]
