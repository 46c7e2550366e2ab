"""From a clock to a plan, for a job of one's own.

A model is timed on every replica at once, then real steps of the few plans that may win.
"""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from torch import nn
from torch.utils._pytree import tree_map

from hetlib.balanced.batchnorm import BalancedBatchNorm
from hetlib.balanced.checks import differentiable
from hetlib.environment import environment
from hetlib.planning.memory import LossOf
from hetlib.planning.partition import Partition
from hetlib.planning.progress import spending
from hetlib.planning.search import decide
from hetlib.planning.store import PlanFile
from hetlib.planning.timing import Task, capped, gather
from hetlib.replicas.platform import Replica

Inputs: TypeAlias = tuple[Any, ...]  # of a model, one batch


def plan(
    model: nn.Module,
    example_batch: Any,
    *,
    global_batch: int,
    seconds: float = 10,
    accumulate: bool = False,
    store: Path | str | None = None,
    progress: bool | None = None,
    **replica: Any,
) -> Partition:
    """Plan a job of one's own: every rank times itself, all ranks get the same plan.

    Times SGD steps of copies of the model, on all ranks at once, alone and then under DDP. Every
    rank has to call it.

    Args:
        model: The model on this rank's device, not yet wrapped in DDP.
        example_batch: Its inputs, a tensor or a tuple of them, ``(n, ...)`` with any n >= 1, on the
            same device.
        global_batch: Samples a step over all replicas.
        seconds: Budget of the timing; each plan that may win takes three to seven steps in any
            case.
        accumulate: Shares may exceed what fits: rank r takes its own in ``plan.passes[r]`` parts,
            under ``no_sync``.
        store: Folder of plans on rank 0's machine. One of the same model, shapes, replicas and
            versions is used again.
        progress: Whether rank 0 shows a bar; by default on a terminal and in a notebook that is no
            batch run.
        replica: More about this rank, as for `Replica`: ``max_batch`` (by default what fits),
            ``multiple``.

    Returns:
        The plan: ``plan.shares[r]`` samples a step for rank r, and the times behind it.

    Raises:
        ValueError: No choice of replicas takes exactly the global batch, or ``accumulate`` is
            asked for a model whose BatchNorm needs the whole batch at once.

    Example:
        >>> plan = hetlib.plan(model, images, global_batch=128)  # doctest: +SKIP
        >>> sampler = hetlib.BalancedSampler(len(data), plan.shares)  # doctest: +SKIP
    """
    if accumulate:
        _refuse_batch_statistics(model)
    inputs = example_batch if isinstance(example_batch, tuple) else (example_batch,)
    own = _own_replica(model, replica)
    known = gather(_identity(model, inputs, own))

    file = PlanFile(store, [global_batch, accumulate, known])
    stored = gather(file.read(len(known), global_batch))
    if stored[0] is not None:  # rank 0's counts
        return stored[0]

    task = Task(own, model, _loss_on(inputs), _sgd)
    leads = not dist.is_initialized() or dist.get_rank() == 0
    with spending("planning", seconds, progress if leads else False):
        found = decide(capped(task), global_batch, seconds, accumulate=accumulate)
    if leads:
        file.write(found)
    return found


def _refuse_batch_statistics(model: nn.Module) -> None:
    if any(isinstance(layer, BalancedBatchNorm) for layer in model.modules()):
        raise ValueError(
            "`accumulate` is True for a model with BalancedBatchNorm; "
            "allowed: False, or another norm."
        )


def _own_replica(model: nn.Module, more: dict[str, Any]) -> Replica:
    """Return this rank as a replica: where its model is, with what the caller says of it."""
    device = next(model.parameters()).device
    options = {"threads": torch.get_num_threads()} | more
    return Replica(device=str(device), **options)


def _identity(model: nn.Module, inputs: Inputs, own: Replica) -> list[Any]:
    """Return what a plan depends on, of this rank: model, shapes, replica, versions."""
    weights = []
    for name, weight in model.named_parameters():
        weights.append([name, weight.shape, str(weight.dtype), weight.requires_grad])
    shapes = tree_map(lambda x: (x.shape, x.dtype), inputs)
    return [str(model), weights, str(shapes), asdict(own), environment()]


def _loss_on(inputs: Inputs) -> LossOf:
    """Return a loss of any model on n samples, made of the example's: it reaches all outputs."""

    def loss_of(network: nn.Module, n: int) -> torch.Tensor:
        batch = tree_map(partial(_first_rows, n=n), inputs)
        outputs = differentiable(network(*batch))
        squares = [output.float().square().mean() for output in outputs]
        return torch.stack(squares).sum()

    return loss_of


def _first_rows(rows: torch.Tensor, n: int) -> torch.Tensor:
    """Return n rows of a batch, which starts again where it ends."""
    numbers = torch.arange(n, device=rows.device)
    return rows[numbers % len(rows)]


def _sgd(network: nn.Module) -> torch.optim.Optimizer:
    """Return SGD that moves no weight but costs what it does with momentum."""
    return torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9)
