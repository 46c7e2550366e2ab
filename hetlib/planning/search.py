"""From curves to one plan: candidates by the model, the choice by the clock."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hetlib.balanced.accumulation import micro_batches
from hetlib.planning.partition import Partition, left_out, partition
from hetlib.planning.race import WORTH, Shares, compute_times, race, step_times
from hetlib.planning.speed import SpeedModel, spread
from hetlib.planning.timing import Task, curve, gather
from hetlib.replicas.platform import Replica

_HOPE = 1.25  # a plan whose modelled step is so many times that of the best is not tried

_FOR_CURVES = 0.5  # of the seconds; the rest is for real steps

# Parts of the seconds for a round of real steps, and the most steps of a plan near the fastest: the
# second round starts from what the first has shown.
_ROUNDS = ((0.2, 3), (0.3, 7))


def limits_of(replicas: Sequence[Replica]) -> dict[str, Any]:
    """Return the limits of replicas as arguments of `partition`.

    Args:
        replicas: In the order of their ranks.

    Returns:
        ``caps``, ``multiples`` and ``names``.
    """
    names = [f"replica {rank} ({replica.name})" for rank, replica in enumerate(replicas)]
    return {
        "caps": [replica.max_batch for replica in replicas],
        "multiples": [replica.multiple for replica in replicas],
        "names": names,
    }


def decide(
    task: Task,
    batch: int,
    seconds: float,
    keep_all: bool = False,
    accumulate: bool = False,
) -> Partition:
    """Return one plan for all ranks: candidates from curves, the choice from the clock.

    Every rank has to call it.

    Args:
        task: What this rank times.
        batch: Samples a step over all replicas.
        seconds: Budget; each plan that may win takes three to seven steps in any case.
        keep_all: Whether every replica takes part, worth it or not.
        accumulate: Whether a share may exceed what its replica takes at once.

    Returns:
        The plan, the same on all ranks.

    Raises:
        ValueError: No choice of replicas takes exactly ``batch`` samples.
    """
    own = (curve(task, batch, _FOR_CURVES * seconds), task.replica)
    curves, replicas = zip(*gather(own), strict=True)
    search = Search(curves, replicas, batch, keep_all=keep_all, accumulate=accumulate)
    if len(replicas) == 1:
        return search.without_a_choice()

    for part, most in _ROUNDS:
        candidates = search.candidates()
        times = race(task, candidates, part * seconds, most)
        trials = []
        for shares, plan in candidates.items():
            trials.append(Trial.of(plan, times[shares]))
        search.learn(trials)
    return search.choose(trials)


@dataclass(frozen=True)
class Trial:
    """A plan that took real steps.

    Attributes:
        plan: As the model has it.
        steps: Seconds of each real step, ``(steps,)``.
        compute: Median seconds that each replica computed in them.
    """

    plan: Partition
    steps: np.ndarray
    compute: list[float]

    @classmethod
    def of(cls, plan: Partition, times: np.ndarray) -> "Trial":
        """Return the trial of a plan whose steps took ``times``, as `race` returns them."""
        return cls(plan, step_times(times), compute_times(times))

    @property
    def step(self) -> float:
        """Median seconds of a step."""
        return float(np.median(self.steps))

    @property
    def shares(self) -> Shares:
        """Local batch of each replica."""
        return self.plan.shares

    @property
    def active(self) -> int:
        """Number of replicas that take part."""
        return int(np.count_nonzero(self.shares))


class Search:
    """The search for the shares with the shortest step.

    The models tell which plans are worth trying; what their real steps show corrects the models.

    Args:
        curves: Step time of each replica, measured without communication.
        replicas: The replicas, by rank.
        batch: Samples a step over all of them.
        keep_all: Whether every replica takes part, worth it or not.
        accumulate: Whether a share may exceed what its replica takes at once.

    Raises:
        ValueError: No choice of replicas takes exactly ``batch`` samples.
    """

    def __init__(
        self,
        curves: Sequence[SpeedModel],
        replicas: Sequence[Replica],
        batch: int,
        *,
        keep_all: bool = False,
        accumulate: bool = False,
    ) -> None:
        self._batch = batch
        self._limits = limits_of(replicas)
        self._caps = [replica.max_batch or batch for replica in replicas]
        self._curves = list(curves)
        if accumulate:
            both = zip(curves, self._caps, strict=True)
            self._curves = [own.repeated(cap, batch) for own, cap in both]
            self._limits["caps"] = None
        self._models = list(self._curves)  # as the steps beside others correct them
        self._exposed = {1: 0.0}  # seconds that the exchange adds to a step, by active replicas
        self._numbers = _numbers_to_try(len(replicas), keep_all)
        self._first = self._partition(self._numbers[0])

    def without_a_choice(self) -> Partition:
        """Return the plan of the curves; it needs no trial where one replica takes the batch."""
        passes = self._passes(self._first.shares)
        return replace(self._first, passes=passes)

    def candidates(self) -> dict[Shares, Partition]:
        """Return the plans worth trying, by their shares: the best ones of the models now."""
        communication = _interpolated(self._exposed)
        found = []
        for numbers in self._numbers:
            # so few replicas cannot take the batch, or so many have no work
            with contextlib.suppress(ValueError):
                found.append(self._partition(numbers, communication))

        best = min(plan.step for plan in found)
        worth_it = [plan for plan in found if plan.step < _HOPE * best]
        return {plan.shares: plan for plan in worth_it}

    def learn(self, trials: Sequence[Trial]) -> None:
        """Correct the models: what an exchange adds, and how fast replicas are beside others.

        Args:
            trials: The candidates with their real steps.
        """
        # a replica's speed is that beside the most others
        for trial in sorted(trials, key=lambda trial: trial.active):
            self._exposed[trial.active] = trial.step - max(trial.compute)
            for rank in np.flatnonzero(trial.shares):
                curve_alone = self._curves[rank]
                alone = curve_alone.time(trial.shares[rank])
                beside_others = trial.compute[rank]
                self._models[rank] = curve_alone.slowed(beside_others / alone)

    def choose(self, trials: Sequence[Trial]) -> Partition:
        """Return the plan with the fewest replicas that is as fast as the fastest.

        Args:
            trials: The candidates of the last round with their real steps.

        Returns:
            The plan, with what the clock said in place of what the models did.
        """
        chosen = _smallest_of_the_fastest(trials)
        steps_alone = [trial.step for trial in trials if trial.active == 1]
        return replace(
            chosen.plan,
            compute=tuple(chosen.compute),
            communication=max(chosen.step - max(chosen.compute), 0.0),
            times="measured",
            alone_step=min(steps_alone, default=self._first.alone_step),
            reasons=self._reasons(chosen, trials),
            passes=self._passes(chosen.shares),
            uncertainty=spread(chosen.steps),
        )

    def _partition(
        self,
        numbers: tuple[int, int],
        communication: Callable[[int], float] | None = None,
    ) -> Partition:
        """Return the fastest plan of the models in which at least and at most so many take part."""
        return partition(
            self._models,
            self._batch,
            active=numbers,
            communication=communication,
            **self._limits,
        )

    def _passes(self, shares: Shares) -> tuple[int, ...]:
        """Return in how many parts each replica takes its share."""
        both = zip(shares, self._caps, strict=True)
        return tuple(len(micro_batches(share, cap)) for share, cap in both)

    def _reasons(self, chosen: Trial, trials: Sequence[Trial]) -> tuple[str, ...]:
        """Return why each replica stays out: measured where a plan with it was tried."""
        reasons = list(chosen.plan.reasons)
        for rank, share in enumerate(chosen.shares):
            with_it = [trial.step for trial in trials if trial.shares[rank] > 0]
            if share == 0 and with_it:
                name = self._first.names[rank]
                reasons[rank] = left_out(name, min(with_it), chosen.step, "measured")
        return tuple(reasons)


def _numbers_to_try(count: int, keep_all: bool) -> list[tuple[int, int]]:
    """Return the fewest and most active replicas of the plans to try: as the models say, and a few.

    Replicas share a machine's memory, and gradients take time to exchange: a helper can cost more
    than it gives.
    """
    if keep_all:
        return [(count, count)]
    numbers = [(1, count)]
    half = (count + 1) // 2
    for few in sorted({1, 2, half, count}):
        numbers.append((few, few))
    return numbers


def _interpolated(seconds: Mapping[int, float]) -> Callable[[int], float]:
    """Return the seconds of any number of replicas from those of some: linear, never falling."""
    known = sorted(seconds)
    measured = [seconds[number] for number in known]
    rising = np.maximum.accumulate(measured)
    return lambda number: float(np.interp(number, known, rising))


def _smallest_of_the_fastest(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the fewest replicas whose steps are as short as the shortest."""
    # Those that stood aside have fewer steps; of the others each step has its rival in the same
    # turn.
    most = max(len(trial.steps) for trial in trials)
    to_the_end = [trial for trial in trials if len(trial.steps) == most]
    fastest = min(to_the_end, key=lambda trial: trial.step)
    as_fast = []
    for trial in to_the_end:
        times_as_long = np.median(trial.steps / fastest.steps)
        if times_as_long < 1 + WORTH:
            as_fast.append(trial)
    return min(as_fast, key=lambda trial: trial.active)
