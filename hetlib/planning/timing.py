"""The step of one replica against the clock, beside all others."""

import math
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hetlib.balanced.accumulation import micro_batches
from hetlib.balanced.batchnorm import BalancedBatchNorm
from hetlib.balanced.normalize import ALONE
from hetlib.planning.blocks import Blocks, batches_to_time
from hetlib.planning.copies import copied
from hetlib.planning.memory import LossOf, fitting_batch
from hetlib.planning.ranks import gather, refused_by_all
from hetlib.planning.speed import SpeedModel
from hetlib.replicas.emulation import SlowDown, Stopwatch
from hetlib.replicas.platform import Replica

Group: TypeAlias = dist.ProcessGroup | None  # None: a replica by itself

_TURNS_A_BUDGET = 4  # so often is looked whether all replicas are sure

_SURE = 0.005  # relative standard error of a step time at which a curve is good enough


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
        RefusedElsewhereError: That is so on another rank.
    """
    place = (platform.node(), task.replica.place)
    sharing = gather(place).count(place)
    with refused_by_all("plan"):
        return _capped(task, sharing)


def _capped(task: Task, sharing: int) -> Task:
    """Return the task with bounds of its batch, beside replicas that share its device's memory."""
    task = replace(task, least=fewest_samples(task))
    if task.replica.max_batch is not None:
        return task
    device = torch.device(task.replica.place)
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
    least = unit if _runs_on_one(task.loss_of, network, unit) else 2 * unit

    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if all(weight.grad is None for weight in weights):
        raise ValueError(
            "the loss reaches no weight of the model that it was given; it has to call that one, "
            "not another it knows."
        )
    _step_once(optimizer)
    return least


def _runs_on_one(loss_of: LossOf, network: nn.Module, unit: int) -> bool:
    """Return whether a step runs on one sample (times the multiple) as it does on two."""
    try:
        is_finite = _step_is_finite(loss_of, network, unit)
    except Exception:  # of the model's, as where BatchNorm finds one value a channel
        _step_is_finite(loss_of, network, 2 * unit)
        return False
    if is_finite:
        return True
    # the mean over pairs of one sample is none; what is not finite anyway is no reason
    return not _step_is_finite(loss_of, network, 2 * unit)


def _step_once(optimizer: torch.optim.Optimizer) -> None:
    try:
        optimizer.step()
    except Exception as error:
        raise ValueError(
            f"`optimizer` cannot take a step ({type(error).__name__}: {error}); give another"
        ) from error


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
        self._device = torch.device(task.replica.place)
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
