"""Training steps against the clock: real steps of whole plans, in turns."""

import contextlib
import gc
import math
import time
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
import torch.distributed as dist

from hetlib.balanced.schedule import Shares
from hetlib.planning.blocks import BLOCK, typical
from hetlib.planning.ranks import gather
from hetlib.planning.timing import Group, Stepper, StepTime, Task, alone
from hetlib.replicas.groups import subgroup

WORTH = 0.02  # relative gain of a step below which further replicas are left out

_LEAST_TURNS = 4  # where the limit has room for them; the first does not count

_TURNS_A_BUDGET = 4  # that count; blocks are as long as leaves room for so many

_SHORT_BLOCK = 4  # steps at least, where the budget has room for them

_BLOCKS_A_BUDGET = 3  # a budget with room for fewer short ones is better spent on single steps

_LUCKY = 0.1  # this quantile of a plan's steps shows what it can do


def race(
    task: Task,
    plans: Iterable[Shares],
    seconds: float,
    most: int = 3,
    limit: float = math.inf,
) -> dict[Shares, np.ndarray]:
    """Time real steps of plans in turns, a block of steps a turn.

    Whatever the budget, each plan takes three blocks, and those that have been near the fastest
    take ``most``, as far as the limit has room for them. Every rank has to call it, with the same
    plans.

    Args:
        task: What this rank trains.
        plans: The local batch of each rank, a tuple a plan.
        seconds: Budget; the largest of all ranks' counts.
        most: Blocks of the plans that stay near the fastest.
        limit: Seconds beyond which no turn goes, after one block of each plan that counts.

    Returns:
        By plan the mean seconds of a step and of its compute in each block, ``(ranks, blocks, 2)``;
        0 for a rank that stays out.
    """
    with _groups(plans) as groups:
        # in a function of its own, which leaves no DDP object behind
        return _race(task, groups, seconds, most, limit)


def step_times(times: np.ndarray) -> np.ndarray:
    """Return the seconds of a step in each block of a plan: those of its slowest rank.

    Args:
        times: Of the plan, as `race` returns them, ``(ranks, blocks, 2)``.

    Returns:
        Seconds, ``(blocks,)``.
    """
    seconds: np.ndarray = times[..., 0].max(0)
    return seconds


def compute_times(times: np.ndarray) -> list[float]:
    """Return the median seconds that each rank computes in a step of a plan.

    Args:
        times: Of the plan, as `race` returns them, ``(ranks, blocks, 2)``.

    Returns:
        Seconds, one a rank.
    """
    compute = times[..., 1]
    medians: list[float] = np.median(compute, axis=1).tolist()
    return medians


@contextlib.contextmanager
def _groups(plans: Iterable[Shares]) -> Iterator[dict[Shares, Group]]:
    """Give each plan a process group of its active ranks; plans of the same ranks share it.

    ``None`` is one rank alone, or that this one stays out of the plan.

    After an error the groups stay: its traceback holds on to DDP objects, and a DDP object that
    outlives its process group can abort the process.
    """
    groups: dict[Shares, Group] = dict.fromkeys(plans)
    made: dict[Shares, Group] = {}  # by its ranks: plans of the same ones share it
    for shares in groups:
        active = tuple(np.flatnonzero(shares).tolist())
        if len(active) > 1:
            if active not in made:
                made[active] = subgroup(active)
            groups[shares] = made[active]

    yield groups

    gc.collect()  # the DDP objects of the block: they are parts of cycles
    for group in made.values():
        if group is not None:
            dist.destroy_process_group(group)


def _race(
    task: Task,
    groups: Mapping[Shares, Group],
    seconds: float,
    most: int,
    limit: float,
) -> dict[Shares, np.ndarray]:
    rank = dist.get_rank()
    unused = _leaves_weights_unused(task)
    steppers: dict[Shares, Stepper | None] = {}
    for shares, group in groups.items():
        steppers[shares] = None
        if shares[rank] > 0:
            steppers[shares] = Stepper(task, group, find_unused_parameters=unused)

    turns = Turns(steppers, max(gather(seconds)), most, limit)  # one budget for all
    while turns.go_on():
        turns.take()
        turns.drop_the_slow()
    return turns.times()


def _leaves_weights_unused(task: Task) -> bool:
    """Return whether some weight gets no gradient on some rank, which DDP has to be told."""
    probe = alone(task.network)
    torch.autograd.backward(task.loss_of(probe, task.few))
    unused = any(w.requires_grad and w.grad is None for w in probe.parameters())
    return any(gather(unused))


class Turns:
    """Plans that take steps in turns, so that a drift of the machine's speed meets all of them.

    All decisions are made from what all ranks gathered, so all ranks make the same.

    Args:
        steppers: The step of each plan; ``None`` where this rank stays out.
        seconds: Budget, the same on all ranks.
        most: Blocks of the plans that stay near the fastest.
        limit: Seconds beyond which no turn goes.
    """

    def __init__(
        self,
        steppers: Mapping[Shares, Stepper | None],
        seconds: float,
        most: int,
        limit: float = math.inf,
    ) -> None:
        """Begin with a turn of one step of each plan, which does not count: memory is new."""
        self._running = dict(steppers)
        self._taken: dict[Shares, list[np.ndarray]] = {shares: [] for shares in steppers}
        self._seconds = seconds
        self._most = most
        self._limit = limit
        self._begin = time.perf_counter()
        self._elapsed = 0.0
        self._last_turn = 0.0  # seconds
        self._turns = 0
        self._blocks = dict.fromkeys(steppers, 1)  # steps of each plan in a turn

    def go_on(self) -> bool:
        """Return whether there is another turn."""
        if self._turns < 2:
            return True
        if self._elapsed + self._last_turn > self._limit:
            return False
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
        before = self._elapsed
        self._elapsed = max(spent for spent, _ in reports)
        self._last_turn = self._elapsed - before
        times = {}  # by plan, (ranks, steps, 2)
        for shares in self._running:
            times[shares] = np.array([of_rank[shares] for _, of_rank in reports])
        if self._turns > 0:
            self._note(times)
        self._turns += 1
        self._lengthen(times)

    def _steps(self, shares: Shares, stepper: Stepper | None) -> list[StepTime]:
        block = self._blocks[shares]
        if stepper is None:
            return [StepTime(step=0.0, compute=0.0)] * block
        samples = shares[dist.get_rank()]
        return [stepper(samples) for _ in range(block)]

    def _lengthen(self, times: Mapping[Shares, np.ndarray]) -> None:
        """Choose how many steps a block of each plan has: as many as the budget has room for.

        Each turn anew: where a processor comes in bursts, the first steps tell little.
        """
        block = min(BLOCK, self._seconds / (_TURNS_A_BUDGET * len(self._blocks)))
        least = 1
        if _BLOCKS_A_BUDGET * _SHORT_BLOCK * self._single_turn(times) < self._seconds:
            least = _SHORT_BLOCK
        for shares, of_plan in times.items():
            step = float(step_times(of_plan).mean())
            self._blocks[shares] = max(round(block / step), least)

    def _single_turn(self, times: Mapping[Shares, np.ndarray]) -> float:
        """Return the seconds of a turn in which each plan takes one step."""
        return sum(float(step_times(of_plan).mean()) for of_plan in times.values())

    def _note(self, times: Mapping[Shares, np.ndarray]) -> None:
        """Keep what a turn's blocks say of a step."""
        for shares, of_plan in times.items():
            counted = of_plan
            steps = of_plan.shape[1]
            if steps >= _SHORT_BLOCK:
                counted = of_plan[:, 1:]  # the caches are cold in the first one
            one = np.apply_along_axis(typical, 1, counted)  # (ranks, 2)
            self._taken[shares].append(one[:, None])

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
        """Return the means of each plan's blocks, as `race` returns them."""
        return {shares: self._times_of(shares) for shares in self._taken}

    def _times_of(self, shares: Shares) -> np.ndarray:
        return np.concatenate(self._taken[shares], axis=1)
