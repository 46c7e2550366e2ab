"""Plans that took real steps, and which of them is the fastest."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hetlib.balanced.schedule import Shares
from hetlib.planning.partition import Partition
from hetlib.planning.race import WORTH, compute_times, step_times
from hetlib.planning.speed import spread

_FEW_BLOCKS = 3  # and their spread says little


@dataclass(frozen=True)
class Trial:
    """A plan that took real steps.

    Attributes:
        plan: As the model has it.
        steps: Seconds of a step, the mean of each block, ``(blocks,)``.
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
        """Median seconds of a step, not below what a replica computed in it."""
        return max(float(np.median(self.steps)), *self.compute)

    @property
    def uncertainty(self) -> float:
        """Relative standard error of the step; of few blocks, not below that of the curves."""
        of_steps = spread(self.steps)
        if len(self.steps) < _FEW_BLOCKS:
            return max(of_steps, self.plan.uncertainty)
        return of_steps

    @property
    def shares(self) -> Shares:
        """Local batch of each replica."""
        return self.plan.shares

    @property
    def active(self) -> int:
        """Number of replicas that take part."""
        return int(np.count_nonzero(self.shares))

    @property
    def surprise(self) -> float:
        """How far the clock is from the model, relatively, in the compute time of a replica."""
        modelled = np.array(self.plan.compute)
        used = modelled > 0
        ratios = np.array(self.compute)[used] / modelled[used]
        return float(np.abs(ratios - 1).max())


def fastest(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trial with the shortest step, if there is one."""
    return sorted(trials, key=lambda trial: trial.step)[:1]


def smallest_of_the_fastest(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the fewest replicas whose steps are as short as the shortest."""
    # Those that stood aside have fewer steps; of the others each step has its rival in the same
    # turn.
    most = max(len(trial.steps) for trial in trials)
    to_the_end = [trial for trial in trials if len(trial.steps) == most]
    quickest = min(to_the_end, key=lambda trial: trial.step)
    as_fast = []
    for trial in to_the_end:
        times_as_long = np.median(trial.steps / quickest.steps)
        if times_as_long < 1 + WORTH:
            as_fast.append(trial)
    return min(as_fast, key=lambda trial: trial.active)
