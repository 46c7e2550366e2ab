"""Training steps against the clock: real steps of whole plans, in turns."""

import contextlib
import gc
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
import torch.distributed as dist

from hetlib.planning.timing import Group, Stepper, StepTime, Task, alone, gather

Shares: TypeAlias = tuple[int, ...]

WORTH = 0.02  # relative gain of a step below which further replicas are left out

_LEAST_TURNS = 4  # whatever the budget; the first does not count

_BLOCK = 4  # steps that a plan takes in a row, where the budget has room for them

_BLOCKS_A_BUDGET = 3  # a budget with room for fewer of them is better spent on single steps

_LUCKY = 0.1  # this quantile of a plan's steps shows what it can do


def race(
    task: Task,
    plans: Iterable[Shares],
    seconds: float,
    most: int = 3,
) -> dict[Shares, np.ndarray]:
    """Time real steps of plans in turns.

    Whatever the budget, each plan takes three steps, and those that have been near the fastest take
    ``most``. Every rank has to call it, with the same plans.

    Args:
        task: What this rank trains.
        plans: The local batch of each rank, a tuple a plan.
        seconds: Budget; the largest of all ranks' counts.
        most: Steps of the plans that stay near the fastest.

    Returns:
        By plan the seconds of each step and of its compute, ``(ranks, steps, 2)``; 0 for a rank
        that stays out.
    """
    with _groups(plans) as groups:
        # in a function of its own, which leaves no DDP object behind
        return _race(task, groups, seconds, most)


def step_times(times: np.ndarray) -> np.ndarray:
    """Return the seconds of each step of a plan: those of its slowest rank.

    Args:
        times: Of the plan, as `race` returns them, ``(ranks, steps, 2)``.

    Returns:
        Seconds, ``(steps,)``.
    """
    seconds: np.ndarray = times[..., 0].max(0)
    return seconds


def compute_times(times: np.ndarray) -> list[float]:
    """Return the median seconds that each rank computes in a step of a plan.

    Args:
        times: Of the plan, as `race` returns them, ``(ranks, steps, 2)``.

    Returns:
        Seconds, one a rank.
    """
    compute = times[..., 1]
    medians: list[float] = np.median(compute, axis=1).tolist()
    return medians


@contextlib.contextmanager
def _groups(plans: Iterable[Shares]) -> Iterator[dict[Shares, Group]]:
    """Give each plan a process group of its active ranks.

    ``None`` is one rank alone, or that this one stays out of the plan.

    After an error the groups stay: its traceback holds on to DDP objects, and a DDP object that
    outlives its process group can abort the process.
    """
    groups: dict[Shares, Group] = dict.fromkeys(plans)
    for shares in groups:
        active = np.flatnonzero(shares).tolist()
        if len(active) > 1:
            made = dist.new_group(active)
            if isinstance(made, dist.ProcessGroup):  # else a mark that this rank is none of them
                groups[shares] = made

    yield groups

    gc.collect()  # the DDP objects of the block: they are parts of cycles
    for group in groups.values():
        if group is not None:
            dist.destroy_process_group(group)


def _race(
    task: Task,
    groups: Mapping[Shares, Group],
    seconds: float,
    most: int,
) -> dict[Shares, np.ndarray]:
    rank = dist.get_rank()
    unused = _leaves_weights_unused(task)
    steppers: dict[Shares, Stepper | None] = {}
    for shares, group in groups.items():
        steppers[shares] = None
        if shares[rank] > 0:
            steppers[shares] = Stepper(task, group, find_unused_parameters=unused)

    turns = Turns(steppers, max(gather(seconds)), most)  # one budget for all
    while turns.go_on():
        turns.take()
        turns.lengthen()
        turns.drop_the_slow()
    return turns.times()


def _leaves_weights_unused(task: Task) -> bool:
    """Return whether some weight gets no gradient on some rank, which DDP has to be told."""
    probe = alone(task.network)
    torch.autograd.backward(task.loss_of(probe, 2))
    unused = any(w.requires_grad and w.grad is None for w in probe.parameters())
    return any(gather(unused))


class Turns:
    """Plans that take steps in turns, so that a drift of the machine's speed meets all of them.

    All decisions are made from what all ranks gathered, so all ranks make the same.

    Args:
        steppers: The step of each plan; ``None`` where this rank stays out.
        seconds: Budget, the same on all ranks.
        most: Steps of the plans that stay near the fastest.
    """

    def __init__(
        self,
        steppers: Mapping[Shares, Stepper | None],
        seconds: float,
        most: int,
    ) -> None:
        self._running = dict(steppers)
        self._taken: dict[Shares, list[np.ndarray]] = {shares: [] for shares in steppers}
        self._seconds = seconds
        self._most = most
        self._begin = time.perf_counter()
        self._elapsed = 0.0
        self._turns = 0
        self._block = 1

    def go_on(self) -> bool:
        """Return whether there is another turn."""
        if self._turns < _LEAST_TURNS or self._elapsed < self._seconds:
            return True
        undecided = len(self._running) > 1
        return undecided and self._turns <= self._most

    def take(self) -> None:
        """Let each plan take a block of steps, and note their times on all ranks."""
        found: dict[Shares, list[StepTime]] = {}
        for shares, stepper in self._running.items():
            gather(None)  # whoever stays out of a plan is idle until its steps are done
            found[shares] = self._steps(shares, stepper)

        spent = time.perf_counter() - self._begin
        reports = gather((spent, found))
        self._elapsed = max(spent for spent, _ in reports)
        if self._turns > 0:  # in the first turn memory is new
            self._note([found for _, found in reports])
        self._turns += 1

    def _steps(self, shares: Shares, stepper: Stepper | None) -> list[StepTime]:
        if stepper is None:
            return [StepTime(step=0.0, compute=0.0)] * self._block
        samples = shares[dist.get_rank()]
        return [stepper(samples) for _ in range(self._block)]

    def _note(self, found: Sequence[Mapping[Shares, list[StepTime]]]) -> None:
        """Keep the times of a turn, which each rank found for itself."""
        cold = self._block // _BLOCK  # in the first of four steps the caches are
        for shares in self._running:
            times = np.array([of_rank[shares][cold:] for of_rank in found])  # (ranks, steps, 2)
            self._taken[shares].append(times)

    def lengthen(self) -> None:
        """Take blocks of steps from now on if the budget has room for enough of them."""
        if _BLOCKS_A_BUDGET * _BLOCK * self._elapsed < self._seconds * self._turns:
            self._block = _BLOCK

    def drop_the_slow(self) -> None:
        """Once the budget is spent, only plans go on that have been near the fastest."""
        if self._turns < _LEAST_TURNS or self._elapsed <= self._seconds:
            return
        seen = {shares: step_times(self._times_of(shares)) for shares in self._running}
        fastest = min(map(np.median, seen.values()))
        near = (1 + WORTH) * fastest
        self._running = {
            shares: stepper
            for shares, stepper in self._running.items()
            if np.quantile(seen[shares], _LUCKY) <= near
        }

    def times(self) -> dict[Shares, np.ndarray]:
        """Return the seconds of each plan's steps and of their compute, ``(ranks, steps, 2)``."""
        return {shares: self._times_of(shares) for shares in self._taken}

    def _times_of(self, shares: Shares) -> np.ndarray:
        return np.concatenate(self._taken[shares], axis=1)
