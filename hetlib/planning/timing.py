"""The step of one replica against the clock, beside all others."""

import contextlib
import copy
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hetlib.balanced.batchnorm import BalancedBatchNorm
from hetlib.balanced.normalize import ALONE
from hetlib.planning.memory import LossOf, fitting_batch
from hetlib.planning.speed import SpeedModel, spread
from hetlib.replicas.emulation import SlowDown, Stopwatch
from hetlib.replicas.platform import Replica


def batches_to_time(global_batch: int, replicas: int, max_batch: int | None = None) -> list[int]:
    """Return the local batches worth timing: the largest possible one and its halves down to a sliver, rising."""
    largest, smallest = (
        min(global_batch, max_batch or global_batch),
        max(1, global_batch // (8 * max(replicas, 2))),
    )
    halves = [
        largest >> times for times in range(1, largest.bit_length()) if largest >> times >= smallest
    ]
    return [*halves[::-1], largest]


def time_step(
    step: Callable[[int], float], sizes: Sequence[int], budget: float, taken: dict[int, list[float]]
) -> None:
    """Time ``step(batch)``, which returns its seconds, for rising ``sizes`` in a budget of seconds, into ``taken``.

    The batches take turns, so that a drift of the machine's speed meets all of them. A turn is a
    few steps; the first finds the caches as another batch left them and does not count. A batch
    whose turn is beyond the budget is left out.
    """
    end = time.perf_counter() + budget
    for batch in sizes if not taken else ():
        step(batch)
        taken[batch] = [step(batch)]
        if len(taken) > 1 and 8 * taken[batch][0] > budget:  # a turn on twice the samples
            break
    while min(map(len, taken.values())) < 3 or time.perf_counter() < end:
        batch = min(taken, key=lambda n: len(taken[n]))
        step(batch)
        taken[batch] += [step(batch) for _ in range(3)]


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
        alone(task.network), task.loss_of, torch.device(task.replica.device), sharing
    )
    return task._replace(replica=replace(task.replica, max_batch=fitting))


def alone(network: nn.Module, group: Any = ALONE) -> nn.Module:
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


def stepper(task: Task, group: Any = ALONE, **more: Any) -> Callable[[int], tuple[float, float]]:
    """Return a training step of a copy of the network on n samples; it returns its seconds and those of compute."""
    network = alone(task.network, group)
    slow, optimizer = SlowDown(task.replica.slowdown, network), task.optimizer_of(network)
    more = {"process_group": group, **more, **task.ddp}
    model: Any = network if group is ALONE else DistributedDataParallel(network, **more)

    def step(n: int) -> tuple[float, float]:
        watch = Stopwatch(slow, torch.device(task.replica.device))
        watch.settled()
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
                watch.stamp_when_computed(loss)
                loss.backward()
        watch.settled()
        begin, *_, computed, reduced = watch.stamps
        return reduced - begin, computed - begin

    # so that the next one, which does not count, is the one whose update asks for the optimizer's
    # memory
    step(2)
    return step


def curve(task: Task, global_batch: int, seconds: float) -> SpeedModel:
    """Time this rank's steps without communication while all others time theirs, until all are sure or time is up."""
    step, taken = stepper(task), dict[int, list[float]]()
    sizes = batches_to_time(global_batch, len(gather(None)), task.replica.max_batch)
    end, unsure = time.perf_counter() + seconds, 1.0
    while unsure > 0.005:
        time_step(lambda n: step(n)[0], sizes, seconds / 4, taken)
        unsure = max(gather(max(map(spread, taken.values())) * (time.perf_counter() < end)))
    return SpeedModel.measured(taken)
