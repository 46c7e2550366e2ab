"""The step of one replica against the clock, beside all others."""

import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hetlib.balanced.accumulation import micro_batches
from hetlib.balanced.batchnorm import BalancedBatchNorm
from hetlib.balanced.normalize import ALONE
from hetlib.planning.copies import copied
from hetlib.planning.memory import LossOf, fitting_batch
from hetlib.planning.speed import SpeedModel, spread
from hetlib.replicas.emulation import SlowDown, Stopwatch
from hetlib.replicas.platform import Replica

Item = TypeVar("Item")

Group: TypeAlias = dist.ProcessGroup | None  # None: a replica by itself

_SLIVER = 8  # the smallest batch worth timing is an eighth of an equal share

# Seconds of a burst and the wait behind it: within a quota, a process runs at full speed and then
# waits for the rest of 0.1 s (Linux's default), and one that slept goes first for a while.
_PERIOD = 0.1

BLOCK = 3 * _PERIOD  # that a block of steps lasts, where the budget has room for it

_STEPS_A_BLOCK = 3  # at least, where a step is shorter than a period

_BLOCKS = 4  # of each batch, which a budget has room for at least, or they are shorter

_LEAST_BLOCKS = 3  # of each batch, before their spread says something

_LOOKS = 2  # steps of a batch that are looked at first; the first of them asks for memory

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


def batches_to_time(
    global_batch: int,
    replicas: int,
    max_batch: int | None = None,
    *,
    least: int = 1,
    multiple: int = 1,
) -> list[int]:
    """Return the local batches worth timing: the largest and its halves down to a sliver.

    Args:
        global_batch: Samples a step over all replicas.
        replicas: How many there are.
        max_batch: Most samples of this replica's step; ``None`` is no cap.
        least: Fewest samples of a step.
        multiple: What a local batch is a multiple of.

    Returns:
        Samples, rising; the smallest is about an eighth of an equal share.

    >>> batches_to_time(128, replicas=2, max_batch=50)
    [12, 25, 50]
    """
    largest = global_batch
    if max_batch is not None:
        largest = min(global_batch, max_batch)
    smallest = max(1, least, global_batch // (_SLIVER * max(replicas, 2)))

    falling = [max(largest // multiple, 1) * multiple]
    while True:
        half = falling[-1] // 2 // multiple * multiple
        if half < smallest or half == 0:
            return falling[::-1]
        falling.append(half)


def typical(times: Sequence[float] | np.ndarray) -> float:
    """Return the seconds of a step in a block of steps without a pause.

    Where the block has whole bursts and waits, that is its mean; a shorter one cannot tell a wait
    from other work that came between: its median.

    Args:
        times: Seconds of the steps in a row, ``(steps,)``.
    """
    if np.sum(times) >= _PERIOD:
        return float(np.mean(times))
    return float(np.median(times))


class Blocks:
    """A step on rising batches against the clock, in blocks.

    The batches take turns, so that a drift of the machine's speed meets all of them. A turn is a
    block of steps without a pause; the step before it finds the caches as another batch left them
    and does not count.

    Args:
        step: ``step(batch)`` runs a step on so many samples and returns its seconds.
        sizes: The batches, rising, in samples.
        seconds: Budget of all blocks.
    """

    def __init__(self, step: Callable[[int], float], sizes: Sequence[int], seconds: float) -> None:
        """Look at one step of each batch, up to the first that the budget has no room for.

        Two batches are looked at in any case.
        """
        self._step = step
        self._block = min(BLOCK, seconds / (_BLOCKS * len(sizes)))
        self._looks: dict[int, float] = {}
        self._blocks: dict[int, list[float]] = {}
        end = time.perf_counter() + seconds
        for batch in sizes:
            looked = self._look(batch)
            self._looks[batch] = looked
            self._blocks[batch] = []
            twice_as_many = 2 * _LOOKS * looked
            left = end - time.perf_counter()
            if len(self._looks) > 1 and twice_as_many > left:
                break

    def _look(self, batch: int) -> float:
        """Return the seconds of a step, of the second one where it is short."""
        seconds = self._step(batch)
        if seconds < _PERIOD:  # new memory is a part of it that counts
            seconds = self._step(batch)
        return seconds

    def run(self, seconds: float) -> None:
        """Time blocks for so many seconds."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            batch = min(self._blocks, key=lambda size: len(self._blocks[size]))
            if self._looks[batch] < _PERIOD:
                self._step(batch)
            self._blocks[batch].append(self._run_block(batch))

    def _run_block(self, batch: int) -> float:
        """Return the seconds of a step in a block."""
        end = time.perf_counter() + self._block
        times = [self._step(batch)]
        while time.perf_counter() < end or len(times) < _STEPS_A_BLOCK:
            if times[0] >= _PERIOD:
                break
            times.append(self._step(batch))
        return typical(times)

    def taken(self) -> dict[int, list[float]]:
        """Return the seconds of a step of each batch: one a block, or else the first look."""
        return {batch: times or [self._looks[batch]] for batch, times in self._blocks.items()}

    def unsure(self) -> float:
        """Return the largest relative standard error of a batch; 1 where one has too few blocks."""
        if min(map(len, self._blocks.values())) < _LEAST_BLOCKS:
            return 1.0
        return max(map(spread, self._blocks.values()))


@dataclass(frozen=True)
class Task:
    """What a replica times.

    Attributes:
        replica: Its device, slow-down and cap.
        network: The network, on that device; copies of it are trained.
        loss_of: Returns the loss of a network, or of its DDP, on n samples.
        optimizer_of: Returns an optimizer of a network's weights.
        ddp: Options of `DistributedDataParallel`.
        least: Fewest samples of a step: BatchNorm, for one, needs two values of a channel.
    """

    replica: Replica
    network: nn.Module
    loss_of: LossOf
    optimizer_of: Callable[[nn.Module], torch.optim.Optimizer]
    ddp: Mapping[str, Any] = field(default_factory=dict)
    least: int = 1

    @property
    def few(self) -> int:
        """A small number of samples on which a step runs: two, or the fewest that are allowed."""
        unit = self.replica.multiple
        return math.ceil(max(2, self.least) / unit) * unit


def capped(task: Task) -> Task:
    """Return the task with bounds of its batch.

    Every rank has to call it, as those on one device share its memory.

    Args:
        task: The task of this rank.

    Returns:
        The task with the fewest samples of a step, and with the cap that was given, or else with
        what fits into the memory that is free now; without a cap where nobody knows what is free.

    Raises:
        ValueError: A step does not run, or does not train the network that it was given.
    """
    place = (platform.node(), task.replica.device)
    sharing = gather(place).count(place)
    task = replace(task, least=fewest_samples(task))
    if task.replica.max_batch is not None:
        return task
    device = torch.device(task.replica.device)
    fitting = fitting_batch(alone(task.network), task.loss_of, device, sharing, task.few)
    return replace(task, replica=replace(task.replica, max_batch=fitting))


def fewest_samples(task: Task) -> int:
    """Return the fewest samples of a step, from trying one and two (times the multiple).

    Args:
        task: What is tried, in a copy of its network.

    Raises:
        ValueError: The step does not run on either, or does not train the network.
    """
    network = alone(task.network)
    optimizer = task.optimizer_of(network)
    unit = task.replica.multiple
    try:
        alone_is_fine = _step_is_finite(task.loss_of, network, unit)
    except Exception:  # of the model's, as where BatchNorm finds one value a channel
        _step_is_finite(task.loss_of, network, 2 * unit)
        alone_is_fine = False
    else:
        # the mean over pairs of one sample is none; what is not finite anyway is no reason
        alone_is_fine = alone_is_fine or not _step_is_finite(task.loss_of, network, 2 * unit)

    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if all(weight.grad is None for weight in weights):
        raise ValueError(
            "the loss reaches no weight of the model that it was given; it has to call that one, "
            "not another it knows."
        )
    optimizer.step()
    return unit if alone_is_fine else 2 * unit


def _step_is_finite(loss_of: LossOf, network: nn.Module, samples: int) -> bool:
    """Run a forward and a backward pass; return whether the loss is a finite number."""
    loss = loss_of(network, samples)
    torch.autograd.backward(loss)
    return bool(torch.isfinite(loss.detach()).all())


def alone(network: nn.Module, group: Group = None) -> nn.Module:
    """Return a copy of a network for timing, in training mode.

    Args:
        network: What is copied. Parts in evaluation of a network in training stay so.
        group: The replicas over which its synchronised layers reduce; ``None`` is nobody else.

    Returns:
        The copy.
    """
    network = copied(network)
    if not network.training:
        network.train()
    for layer in network.modules():
        if isinstance(layer, BalancedBatchNorm | nn.SyncBatchNorm):
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
        self(task.few)

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
    replicas = len(gather(None))
    sizes = batches_to_time(
        global_batch,
        replicas,
        task.replica.max_batch,
        least=task.least,
        multiple=task.replica.multiple,
    )

    end = time.perf_counter() + seconds
    blocks = Blocks(lambda n: stepper(n).step, sizes, seconds)
    unsure = 1.0
    while unsure > _SURE:
        blocks.run(seconds / _TURNS_A_BUDGET)
        own = blocks.unsure()
        if time.perf_counter() >= end:
            own = 0.0  # it will not become more sure
        unsure = max(gather(own))
    return SpeedModel.measured(blocks.taken())
