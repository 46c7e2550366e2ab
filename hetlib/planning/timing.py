"""The step of one replica against the clock, beside all others."""

import copy
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hetlib.balanced.accumulation import micro_batches
from hetlib.balanced.batchnorm import BalancedBatchNorm
from hetlib.balanced.normalize import ALONE
from hetlib.planning.memory import LossOf, fitting_batch
from hetlib.planning.speed import SpeedModel, spread
from hetlib.replicas.emulation import SlowDown, Stopwatch
from hetlib.replicas.platform import Replica

Item = TypeVar("Item")

Group: TypeAlias = dist.ProcessGroup | None  # None: a replica by itself

_SLIVER = 8  # the smallest batch worth timing is an eighth of an equal share

_STEPS_A_TURN = 3  # that count, of one batch, after the one that finds the caches cold

_LEAST_STEPS = 3  # of each batch, whatever the budget

_TURNS_A_BUDGET = 4  # so often is looked whether all replicas are sure

_SURE = 0.005  # relative standard error of a step time at which a curve is good enough


def gather(item: Item) -> list[Item]:
    """Return every rank's item, by rank; a barrier too.

    Args:
        item: What this rank has to tell; it has to be possible to pickle it.

    Returns:
        The items of all ranks; this one alone where no process group exists.
    """
    if not dist.is_initialized():
        return [item]
    items = [item] * dist.get_world_size()
    if len(items) > 1:
        dist.all_gather_object(items, item)
    return items


def batches_to_time(global_batch: int, replicas: int, max_batch: int | None = None) -> list[int]:
    """Return the local batches worth timing: the largest and its halves down to a sliver.

    Args:
        global_batch: Samples a step over all replicas.
        replicas: How many there are.
        max_batch: Most samples of this replica's step; ``None`` is no cap.

    Returns:
        Samples, rising; the smallest is about an eighth of an equal share.

    >>> batches_to_time(128, replicas=2, max_batch=50)
    [12, 25, 50]
    """
    largest = global_batch
    if max_batch is not None:
        largest = min(global_batch, max_batch)
    smallest = max(1, global_batch // (_SLIVER * max(replicas, 2)))

    falling = [largest]
    while falling[-1] // 2 >= smallest:
        falling.append(falling[-1] // 2)
    return falling[::-1]


def time_step(
    step: Callable[[int], float],
    sizes: Sequence[int],
    budget: float,
    taken: dict[int, list[float]],
) -> None:
    """Time a step on rising batches within a budget.

    The batches take turns, so that a drift of the machine's speed meets all of them. A turn is a
    few steps; the first finds the caches as another batch left them and does not count. A batch
    whose turn is beyond the budget is left out.

    Args:
        step: ``step(batch)`` runs a step on so many samples and returns its seconds.
        sizes: The batches, rising, in samples.
        budget: Seconds to spend.
        taken: The seconds of each batch's steps; new ones are added. Where it is empty, this
            call finds out which batches fit into the budget.
    """
    end = time.perf_counter() + budget
    if not taken:
        _time_once(step, sizes, budget, taken)
    while min(map(len, taken.values())) < _LEAST_STEPS or time.perf_counter() < end:
        batch = min(taken, key=lambda size: len(taken[size]))
        step(batch)
        taken[batch] += [step(batch) for _ in range(_STEPS_A_TURN)]


def _time_once(
    step: Callable[[int], float],
    sizes: Sequence[int],
    budget: float,
    taken: dict[int, list[float]],
) -> None:
    """Time one step of each batch, up to the first whose double would take the whole budget."""
    for batch in sizes:
        step(batch)
        seconds = step(batch)
        taken[batch] = [seconds]
        turn_on_twice_the_samples = 2 * (1 + _STEPS_A_TURN) * seconds
        if len(taken) > 1 and turn_on_twice_the_samples > budget:
            break


@dataclass(frozen=True)
class Task:
    """What a replica times.

    Attributes:
        replica: Its device, slow-down and cap.
        network: The network, on that device; copies of it are trained.
        loss_of: Returns the loss of a network, or of its DDP, on n samples.
        optimizer_of: Returns an optimizer of a network's weights.
        ddp: Options of `DistributedDataParallel`.
    """

    replica: Replica
    network: nn.Module
    loss_of: LossOf
    optimizer_of: Callable[[nn.Module], torch.optim.Optimizer]
    ddp: Mapping[str, Any] = field(default_factory=dict)


def capped(task: Task) -> Task:
    """Return the task with a cap on its batch.

    Every rank has to call it, as those on one device share its memory.

    Args:
        task: The task of this rank.

    Returns:
        The task with the cap that was given, or else with what fits into the memory that is free
        now; without a cap where nobody knows what is free.
    """
    place = (platform.node(), task.replica.device)
    sharing = gather(place).count(place)
    if task.replica.max_batch is not None:
        return task
    device = torch.device(task.replica.device)
    fitting = fitting_batch(alone(task.network), task.loss_of, device, sharing)
    return replace(task, replica=replace(task.replica, max_batch=fitting))


def alone(network: nn.Module, group: Group = None) -> nn.Module:
    """Return a copy of a network for timing, in training mode.

    Args:
        network: What is copied.
        group: The replicas over which its synchronised layers reduce; ``None`` is nobody else.

    Returns:
        The copy.
    """
    network = copy.deepcopy(network).train()
    for layer in network.modules():
        if isinstance(layer, BalancedBatchNorm):
            layer.process_group = ALONE if group is None else group
    return network


class StepTime(NamedTuple):
    """Seconds of one training step.

    Attributes:
        step: From the update to the reduced gradients.
        compute: Without the wait for the other replicas at the end.
    """

    step: float
    compute: float


class Stepper:
    """A training step against the clock: call it with a number of samples, get a `StepTime`.

    It begins with the update of the step before: a step ends where the replicas meet, or each
    waits for the slowest one's twice.

    Args:
        task: What is trained, in a copy of its network.
        group: The replicas that reduce their gradients; ``None``: this one is alone.
        ddp: Options of `DistributedDataParallel`; those of the task go before them.
    """

    def __init__(self, task: Task, group: Group = None, **ddp: Any) -> None:
        self._most = task.replica.max_batch
        self._device = torch.device(task.replica.device)
        self._loss_of = task.loss_of

        network = alone(task.network, group)
        self._slow = SlowDown(task.replica.slowdown, network)
        self._optimizer = task.optimizer_of(network)
        self._model = network
        self._without_reduction: Callable[[], AbstractContextManager[None]] = nullcontext
        if group is not None:
            options = {"process_group": group, **ddp, **task.ddp}
            reduced = DistributedDataParallel(network, **options)
            self._model = reduced
            self._without_reduction = reduced.no_sync

        # so that the next one, which does not count, is the one whose update asks for the
        # optimizer's memory
        self(2)

    def __call__(self, samples: int) -> StepTime:
        """Run a step on so many samples and return its seconds."""
        watch = Stopwatch(self._slow, self._device)
        watch.settled()
        self._update(samples)
        *early, last = micro_batches(samples, self._most)
        for part in early:
            with self._without_reduction():
                self._forward_and_backward(part.stop - part.start)
        self._forward_and_backward(last.stop - last.start, watch)
        watch.settled()
        begin, computed, reduced = watch.stamps
        return StepTime(step=reduced - begin, compute=computed - begin)

    def _update(self, samples: int) -> None:
        self._slow.start("update", samples)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._slow.settle()

    def _forward_and_backward(self, samples: int, watch: Stopwatch | None = None) -> None:
        """Add the gradients of so many samples; the watch is for the last part, as in training."""
        self._slow.start("forward", samples)
        loss = self._loss_of(self._model, samples)
        self._slow.settle()
        self._slow.start("backward", samples)
        if watch is not None:
            watch.stamp_when_computed(loss)
        torch.autograd.backward(loss)
        self._slow.settle()  # of a part before the last, for whose end no watch cares


def curve(task: Task, global_batch: int, seconds: float) -> SpeedModel:
    """Time this rank's steps without communication while all others time theirs.

    Every rank has to call it: all end when all are sure of their times, or time is up.

    Args:
        task: What this rank times.
        global_batch: Samples a step over all replicas.
        seconds: Budget.

    Returns:
        The step time of this rank as a function of its samples.
    """
    stepper = Stepper(task)
    taken: dict[int, list[float]] = {}
    replicas = len(gather(None))
    sizes = batches_to_time(global_batch, replicas, task.replica.max_batch)

    end = time.perf_counter() + seconds
    unsure = 1.0
    while unsure > _SURE:
        time_step(lambda n: stepper(n).step, sizes, seconds / _TURNS_A_BUDGET, taken)
        own = max(map(spread, taken.values()))
        if time.perf_counter() >= end:
            own = 0.0  # it will not become more sure
        unsure = max(gather(own))
    return SpeedModel.measured(taken)
