"""Training steps against the clock: of one replica beside all others, and of whole plans in turns."""

import contextlib
import copy
import gc
import platform
import time
from collections.abc import Callable, Iterable
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


class Task(NamedTuple):
    """What a replica times."""

    replica: Replica
    network: nn.Module
    loss_of: LossOf
    optimizer_of: Callable[[nn.Module], torch.optim.Optimizer]


def capped(task: Task) -> Task:
    """Return the task with a cap on its batch: the one given, or what fits into the memory that is free now."""
    sharing = gather(place := (platform.node(), task.replica.device)).count(place)
    if task.replica.max_batch is not None:
        return task
    fitting = fitting_batch(_alone(task.network), task.loss_of, torch.device(task.replica.device), sharing)
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


def _stepper(task: Task, group: Any = ALONE, unused: bool = False) -> Callable[[int], tuple[float, float]]:
    """Return a training step of a copy of the network on n samples; it returns its seconds and those of compute."""
    network = _alone(task.network, group)
    slow, optimizer = SlowDown(task.replica.slowdown, network), task.optimizer_of(network)
    options: Any = {"process_group": group, "find_unused_parameters": unused}
    model: Any = network if group is ALONE else DistributedDataParallel(network, **options)

    def step(n: int) -> tuple[float, float]:
        stamp = partial(note, stamps := list[float](), slow, torch.device(task.replica.device))
        stamp()
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
        slow.start("update", n)
        optimizer.step()
        optimizer.zero_grad()
        stamp()
        begin, *_, computed, reduced, updated = stamps
        return updated - begin, updated - begin - (reduced - computed)

    return step


def curve(task: Task, global_batch: int, seconds: float) -> SpeedModel:
    """Time this rank's steps without communication while all others time theirs, until all are sure or time is up."""
    step, taken = _stepper(task), dict[int, list[float]]()
    sizes = batches_to_time(global_batch, len(gather(None)), task.replica.max_batch)
    for _ in range(4):
        time_step(lambda n: step(n)[0], sizes, seconds / 4, taken)
        if max(gather(max(map(spread, taken.values())))) < 0.005:
            break
    return SpeedModel.measured(taken)


def race(task: Task, plans: Iterable[Shares], seconds: float) -> dict[Shares, tuple[np.ndarray, list[float]]]:
    """Time real steps of each plan in turns; return its seconds, ``(steps,)``, and the median compute of each rank."""
    rank = dist.get_rank()
    groups = [dist.new_group(np.flatnonzero(n).tolist()) if np.count_nonzero(n) > 1 else ALONE for n in plans]
    probe = _alone(task.network)
    task.loss_of(probe, 2).backward()
    unused = any(gather(any(w.requires_grad and w.grad is None for w in probe.parameters())))
    pairs = zip(plans, groups, strict=True)
    steps = [_stepper(task, group, unused) if shares[rank] else None for shares, group in pairs]
    taken: list[list[tuple[float, float]]] = [[] for _ in plans]
    seconds, begin, turns, elapsed, block = max(gather(seconds)), time.perf_counter(), 0, 0.0, 1  # one budget for all
    while turns < 3 or elapsed < seconds:
        for shares, step, own in zip(plans, steps, taken, strict=True):
            gather(None)  # whoever stays out of a plan is idle until its steps are done
            found = [step(shares[rank]) if step else (0.0, 0.0) for _ in range(block)]
            own.extend(found[block // 4 :])  # the first of four finds the caches as another plan left them
        turns, elapsed = turns + 1, max(gather(time.perf_counter() - begin))
        block = 4 if 12 * elapsed < seconds * turns else block
    times = np.array(gather(taken))  # (ranks, plans, steps, 2)
    del steps, step
    gc.collect()  # a DDP object that outlives its process group can abort the process
    for group in groups:
        dist.destroy_process_group(group)
    computes = np.median(times[..., 1], axis=2).T.tolist()
    return dict(zip(plans, zip(times[..., 0].max(0), computes, strict=True), strict=True))
