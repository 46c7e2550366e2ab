"""The search for the fastest shares: candidates by models, which real steps correct."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from hetlib.balanced.accumulation import micro_batches
from hetlib.balanced.schedule import Shares
from hetlib.planning.candidates import (
    STEPS,
    affordable,
    extremes,
    interpolated,
    numbers_to_try,
)
from hetlib.planning.choices import left_out
from hetlib.planning.limits import limits_of
from hetlib.planning.partition import Partition, partition
from hetlib.planning.speed import SpeedModel
from hetlib.planning.trials import Trial, fastest, smallest_of_the_fastest
from hetlib.replicas.platform import Replica

# A plan whose modelled step is so many times that of the best is not tried.
_HOPE = 1.25

# A model and a clock that differ by more, relatively, ask for another round: where a processor
# comes in bursts, what one round showed is right for its own shares alone.
_AGREE = 0.1


class Search:
    """The search for the shares with the shortest step.

    The models tell which plans are worth trying; what their real steps show corrects the models.

    Args:
        curves: Step time of each replica, measured without communication.
        replicas: The replicas, by rank.
        batch: Samples a step over all of them.
        floors: Fewest samples of each replica that takes part; 1 by default.
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
        floors: Sequence[int] | None = None,
        keep_all: bool = False,
        accumulate: bool = False,
    ) -> None:
        self._batch = batch
        self._limits = limits_of(replicas, floors)
        self._caps = [replica.max_batch or batch for replica in replicas]
        self._curves = list(curves)
        if accumulate:
            both = zip(curves, self._caps, strict=True)
            self._curves = [own.repeated(cap, batch) for own, cap in both]
            self._limits["caps"] = None
        self._models = list(self._curves)  # as the steps beside others correct them
        self._exposed = {1: 0.0}  # seconds that the exchange adds to a step, by active replicas
        self._numbers = numbers_to_try(len(replicas), keep_all)
        self._first = self._partition(self._numbers[0])
        self._trials: list[Trial] = []  # of the last round
        self._earlier: list[Trial] = []  # of all rounds before

    def without_a_choice(self) -> Partition:
        """Return the plan of the curves; it needs no trial where one replica takes the batch."""
        passes = self._passes(self._first.shares)
        return replace(self._first, passes=passes)

    def candidates(self, seconds: float = np.inf) -> dict[Shares, Partition]:
        """Return the plans worth trying, by their shares.

        They are the best ones of the models now, and of those that were tried the fastest and its
        near rivals. The first time the plans of the fewest and of the most replicas are among them:
        what is said of those is measured.

        Args:
            seconds: That are left: the plans with the longest steps are left out where two steps of
                each would take longer, but two plans are tried in any case.
        """
        communication = interpolated(self._exposed)
        found = []
        for numbers in self._numbers:
            # so few replicas cannot take the batch, or so many have no work
            with contextlib.suppress(ValueError):
                found.append(self._partition(numbers, communication))

        best = min(plan.step for plan in found)
        plans = [self._as_timed_now(trial.plan, communication) for trial in self._to_keep()]
        plans += [plan for plan in found if plan.step < _HOPE * best]
        if not self._trials:
            plans += extremes(found)  # so that what is said of them is measured
        return affordable({plan.shares: plan for plan in plans}, seconds)

    def _to_keep(self) -> list[Trial]:
        """Return of the trials the fastest, and its rivals that are near: they meet once more.

        A rival is the fastest one with a replica that the fastest of all leaves out, or the best
        replica alone.
        """
        if not self._trials:
            return []
        best = smallest_of_the_fastest(self._trials)
        rivals = fastest([trial for trial in self._trials if _is_alone(trial)])
        for rank in np.flatnonzero(np.array(best.shares) == 0):
            rivals += fastest([trial for trial in self._trials if trial.shares[rank] > 0])
        near = [trial for trial in rivals if trial.step < _HOPE * best.step]
        return [best, *near]

    def _as_timed_now(self, tried: Partition, communication: Callable[[int], float]) -> Partition:
        """Return a plan that was tried with the times that the models have now.

        What it says of other plans stays as the models had it then.
        """
        both = zip(self._models, tried.shares, strict=True)
        compute = tuple(model.time(samples) for model, samples in both)
        exposed = communication(int(np.count_nonzero(tried.shares)))
        return replace(tried, compute=compute, communication=exposed)

    def learn(self, trials: Sequence[Trial]) -> None:
        """Correct the models: what an exchange adds, and how fast replicas are beside others.

        Args:
            trials: The candidates with their real steps.
        """
        self._earlier += self._trials
        self._trials = list(trials)
        # a replica's speed is that beside the most others
        for trial in sorted(trials, key=lambda trial: trial.active):
            self._exposed[trial.active] = trial.step - max(trial.compute)
            for rank in np.flatnonzero(trial.shares):
                curve_alone = self._curves[rank]
                alone = curve_alone.time(trial.shares[rank])
                beside_others = trial.compute[rank]
                self._models[rank] = curve_alone.slowed(beside_others / alone)

    def is_done(self, seconds: float) -> bool:
        """Return whether another round would show nothing new, or there is no time for one.

        Args:
            seconds: That are left.
        """
        best = smallest_of_the_fastest(self._trials)
        if STEPS * best.step > seconds:
            return True
        return bool(self._earlier) and best.surprise < _AGREE

    def choose(self) -> Partition:
        """Return the plan with the fewest replicas that is as fast as the fastest.

        Returns:
            The plan, with what the clock said in place of what the models did.
        """
        chosen = smallest_of_the_fastest(self._trials)
        longest = max(chosen.compute)
        plan = replace(
            chosen.plan,
            compute=tuple(chosen.compute),
            communication=chosen.step - longest,
            times="measured",
            passes=self._passes(chosen.shares),
            uncertainty=chosen.uncertainty,
            models=tuple(self._models),
        )
        return replace(plan, reasons=self._reasons(plan), **self._alone(plan, chosen))

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

    def _tried(self, wanted: Callable[[Trial], bool]) -> list[Trial]:
        """Return the fastest of some trials, of the last round if there are some in it."""
        for trials in (self._trials, self._earlier):
            found = fastest([trial for trial in trials if wanted(trial)])
            if found:
                return found
        return []

    def _alone(self, plan: Partition, chosen: Trial) -> dict[str, Any]:
        """Return the step of the best single replica, and who says it."""
        if chosen.active == 1:
            return {"alone_step": plan.step, "alone_times": "measured"}
        tried = self._tried(_is_alone)
        if tried:
            return {"alone_step": tried[0].step, "alone_times": "measured"}
        return {"alone_step": chosen.plan.alone_step, "alone_times": "modelled"}

    def _reasons(self, plan: Partition) -> tuple[str, ...]:
        """Return why each replica stays out: measured where a plan with it was tried."""
        reasons = list(plan.reasons)
        for rank in np.flatnonzero(np.array(plan.shares) == 0):
            tried = self._tried(partial(_includes, int(rank)))
            if tried:
                name = self._first.names[rank]
                reasons[rank] = left_out(name, tried[0].step, plan.step, "measured")
        return tuple(reasons)


def _includes(rank: int, trial: Trial) -> bool:
    return trial.shares[rank] > 0


def _is_alone(trial: Trial) -> bool:
    return trial.active == 1
