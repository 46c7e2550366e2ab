"""Training steps against the clock: of one replica beside all others, and of whole plans in turns."""

import contextlib
import copy
import gc
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.autograd.variable import Variable
from torch.nn.parallel import DistributedDataParallel

from .batchnorm import ALONE, BalancedBatchNorm
from .emulation import SlowDown
from .memory import LossOf, fitting_batch
from .platform import Replica
from .speed import SpeedModel, batches_to_time, spread, time_step
from .train import note

Shares = tuple[int, ...]
WORTH = 0.02  # relative gain of a step below which further replicas are left out


class Task(NamedTuple):
    """What a replica times."""

    replica: Replica
    network: nn.Module
    loss_of: LossOf
    optimizer_of: Callable[[nn.Module], torch.optim.Optimizer]
    ddp: Mapping[str, Any] = {}  # options of `DistributedDataParallel`


def capped(task: Task) -> Task:
    """Return the task with a cap on its batch: the one given, or what fits into the memory that is free now."""
    sharing = gather(place := (platform.node(), task.replica.device)).count(place)
    if task.replica.max_batch is not None:
        return task
    fitting = fitting_batch(
        _alone(task.network), task.loss_of, torch.device(task.replica.device), sharing
    )
    return task._replace(replica=replace(task.replica, max_batch=fitting))


def _alone(network: nn.Module, group: Any = ALONE) -> nn.Module:
    """Return a copy in training mode whose synchronised layers reduce over ``group``, by default with nobody."""
    network = copy.deepcopy(network).train()
    for layer in network.modules():
        if isinstance(layer, BalancedBatchNorm):
            layer.process_group = group
    return network


def gather(item: Any) -> list[Any]:
    """Return every rank's item; a barrier too."""
    items = [item] * (dist.get_world_size() if dist.is_initialized() else 1)
    if len(items) > 1:
        dist.all_gather_object(items, item)
    return items


def _stepper(task: Task, group: Any = ALONE, **more: Any) -> Callable[[int], tuple[float, float]]:
    """Return a training step of a copy of the network on n samples; it returns its seconds and those of compute."""
    network = _alone(task.network, group)
    slow, optimizer = SlowDown(task.replica.slowdown, network), task.optimizer_of(network)
    more = {"process_group": group, **more, **task.ddp}
    model: Any = network if group is ALONE else DistributedDataParallel(network, **more)

    def step(n: int) -> tuple[float, float]:
        stamp = partial(note, stamps := list[float](), slow, torch.device(task.replica.device))
        stamp()
        # The update of the step before: a step ends where the replicas meet, or each waits for the
        # slowest one's twice.
        slow.start("update", n)
        optimizer.step()
        optimizer.zero_grad()
        slow.settle()
        *early, last = torch.arange(n).chunk(-(-n // (task.replica.max_batch or n)))
        for part in (*early, last):
            with contextlib.nullcontext() if part is last or model is network else model.no_sync():
                slow.start("forward", len(part))
                loss = task.loss_of(model, len(part))
                slow.settle()
                slow.start("backward", len(part))
                # Queued before DDP's own callback, which waits for the others' gradients.
                loss.register_hook(lambda _: Variable._execution_engine.queue_callback(stamp))
                loss.backward()
        stamp()
        begin, *_, computed, reduced = stamps
        return reduced - begin, computed - begin

    # so that the next one, which does not count, is the one whose update asks for the optimizer's
    # memory
    step(2)
    return step


def curve(task: Task, global_batch: int, seconds: float) -> SpeedModel:
    """Time this rank's steps without communication while all others time theirs, until all are sure or time is up."""
    step, taken = _stepper(task), dict[int, list[float]]()
    sizes = batches_to_time(global_batch, len(gather(None)), task.replica.max_batch)
    end, unsure = time.perf_counter() + seconds, 1.0
    while unsure > 0.005:
        time_step(lambda n: step(n)[0], sizes, seconds / 4, taken)
        unsure = max(gather(max(map(spread, taken.values())) * (time.perf_counter() < end)))
    return SpeedModel.measured(taken)


def race(
    task: Task, plans: Iterable[Shares], seconds: float, most: int = 3
) -> dict[Shares, np.ndarray]:
    """Time real steps of plans in turns; return the seconds of each step and of its compute, ``(ranks, steps, 2)``.

    Whatever the budget, each plan takes three steps, and those that have been near the fastest take
    ``most``.
    """
    rank, taken = dist.get_rank(), {shares: list[np.ndarray]() for shares in plans}
    groups = {
        n: dist.new_group(np.flatnonzero(n).tolist()) if np.count_nonzero(n) > 1 else ALONE
        for n in plans
    }
    probe = _alone(task.network)
    task.loss_of(probe, 2).backward()
    unused = any(gather(any(w.requires_grad and w.grad is None for w in probe.parameters())))
    steps = {
        n: _stepper(task, g, find_unused_parameters=unused) if n[rank] else None
        for n, g in groups.items()
    }
    # one budget for all
    seconds, begin, turns, elapsed, block = max(gather(seconds)), time.perf_counter(), 0, 0.0, 1
    while turns < 4 or elapsed < seconds or (len(steps) > 1 and turns <= most):
        found: dict[Shares, list[tuple[float, float]]] = {}
        for shares, step in steps.items():
            gather(None)  # whoever stays out of a plan is idle until its steps are done
            found[shares] = [step(shares[rank]) if step else (0.0, 0.0) for _ in range(block)]
        spent, results = zip(*gather((time.perf_counter() - begin, found)), strict=True)
        # in the first turn memory is new, in the first of four steps caches cold
        for shares in steps if turns else ():
            taken[shares].append(np.array([result[shares][block // 4 :] for result in results]))
        turns, elapsed = turns + 1, max(spent)
        block = 4 if 12 * elapsed < seconds * turns else block
        if turns > 3 and elapsed > seconds:
            seen = {
                shares: np.concatenate(taken[shares], axis=1)[..., 0].max(0) for shares in steps
            }
            near = (1 + WORTH) * min(map(np.median, seen.values()))
            steps = {
                shares: step
                for shares, step in steps.items()
                if np.quantile(seen[shares], 0.1) <= near
            }
    steps, step = {}, None
    gc.collect()  # a DDP object that outlives its process group can abort the process
    for group in groups.values():
        dist.destroy_process_group(group)
    return {shares: np.concatenate(times, axis=1) for shares, times in taken.items()}
