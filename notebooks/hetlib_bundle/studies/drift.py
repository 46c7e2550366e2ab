"""How plans follow replicas whose speed changes; every step time here is modelled from a trace."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hetlib.planning.exchange import MESSAGE
from hetlib.planning.partition import partition
from hetlib.planning.rebalance import Rebalancer
from hetlib.planning.speed import SpeedModel
from hetlib_bundle.studies.many.tables import slashed
from hetlib_bundle.studies.traces import DISTURBED, disturbed, resample, schedule

Shares = tuple[int, ...]
Row = dict[str, Any]  # values by name
Models = Sequence[SpeedModel]  # of the replicas
Plans = Sequence[tuple[int, Shares]]  # which shares hold from which step on


class Seen(NamedTuple):
    """One step as the replicas saw it.

    Attributes:
        shares: Samples of each replica.
        seconds: Compute time of each replica.
    """

    shares: Shares
    seconds: list[float]


class Followed(NamedTuple):
    """What a trace makes of a plan that may change.

    Attributes:
        seconds: Compute phase of each step, (steps,): the slowest replica's.
        plans: Which shares hold from which step on.
    """

    seconds: np.ndarray
    plans: list[tuple[int, Shares]]


def constant_speeds(models: Models, shares: Sequence[int]) -> list[SpeedModel]:
    """Return the models of somebody who knows one speed of each replica: that at its share."""
    pairs = zip(step_times(models, shares), shares, strict=True)
    return [SpeedModel.constant(share / seconds) for seconds, share in pairs]


def step_times(models: Models, shares: Sequence[int]) -> list[float]:
    """Return the compute seconds of each replica by its model."""
    pairs = zip(models, shares, strict=True)
    return [model.time(share) for model, share in pairs]


def follow(
    models: Models,
    shares: Sequence[int],
    trace: np.ndarray,
    rebalancer: Rebalancer | None = None,
) -> Followed:
    """Run a trace.

    Times are exchanged as `Rebalancer.exchange` does: a few steps at once, known one step later. A
    change of plan costs nothing here.

    Args:
        models: Step models of the replicas.
        shares: The plan that it begins with.
        trace: Factors over the models, (steps, replicas).
        rebalancer: Decides on other plans; None: the first one stays.
    """
    counts = tuple(shares)
    plans = [(0, counts)]
    seconds = []
    own: list[Seen] = []  # since the last message
    sent: list[Seen] = []  # the message that everybody knows one step later
    for step, factors in enumerate(trace):
        times = factors * step_times(models, counts)
        seconds.append(times.max())
        own.append(Seen(counts, times.tolist()))
        changed = _decided(rebalancer, sent)
        if changed:
            counts = changed
            plans.append((step + 1, counts))
        sent = []
        if len(own) == MESSAGE:
            sent = own
            own = []
    return Followed(np.array(seconds), plans)


def _decided(
    rebalancer: Rebalancer | None,
    message: Sequence[Seen],
) -> Shares | None:
    """Return the shares that a message leads to; None where the plan stays."""
    if rebalancer is None or not message:
        return None
    counts = [seen.shares for seen in message]
    times = [seen.seconds for seen in message]
    return rebalancer.observe(counts, times)


def optimum(
    models: Models,
    batch: int,
    trace: np.ndarray,
) -> np.ndarray:
    """Return the compute phase of the best plan for each step of a trace without noise.

    Args:
        models: Step models of the replicas.
        batch: Samples of a step over all replicas.
        trace: Factors over the models, (steps, replicas).

    Returns:
        Seconds, (steps,).
    """
    rows = [tuple(factors) for factors in trace.tolist()]
    known = {}
    for factors in set(rows):
        pairs = zip(models, factors, strict=True)
        slowed = [model.slowed(factor) for model, factor in pairs]
        known[factors] = partition(slowed, batch).step
    return np.array([known[factors] for factors in rows])


def in_force(plans: Plans, step: int) -> Shares:
    """Return the shares that hold at a step."""
    begun = [shares for first, shares in plans if first <= step]
    return begun[-1]


def told_change(plans: Plans, change: int, until: int) -> str:
    """Say when the shares followed a change of the speeds.

    Args:
        plans: Of one run.
        change: Step at which a speed changed.
        until: Step of the next change, or the number of steps.
    """
    later = [(step, shares) for step, shares in plans if change < step < until]
    if not later:
        return f"the shares did not change in the {until - change} steps that followed"
    step, shares = later[0]
    told = f"the shares {slashed(shares)} began at step {step}, {step - change} steps later"
    if len(later) > 1:
        told += f", and changed {len(later) - 1} more times"
    return told


@dataclass(frozen=True)
class Course:
    """Three ways to follow two replicas, of which the first slows down and recovers.

    Attributes:
        models: Measured step models.
        shares: The plan that all ways begin with.
        noise: Measured noise, (steps, replicas).
        slower: How many times slower replica 0 becomes.
        change: Step at which it does.
        recovery: Step at which it is as fast as before.
        steps: Length of a trace.
    """

    models: Models
    shares: Shares
    noise: np.ndarray
    slower: float
    change: int
    recovery: int
    steps: int = 150

    def known(self) -> np.ndarray:
        """Return the trace without noise."""
        changes = [
            (self.change, (self.slower, 1.0)),
            (self.recovery, (1.0, 1.0)),
        ]
        return schedule(self.steps, changes)

    def trace(self, seed: int) -> np.ndarray:
        """Return the trace with measured noise, and with a neighbour of replica 1 at its end."""
        drawn = resample(self.noise, self.steps, seed)
        return self.known() * drawn * disturbed(self.steps, seed)

    def ways(self) -> dict[str, Rebalancer | None]:
        """Return what decides on new plans, by the name of the way."""
        proportional = constant_speeds(self.models, self.shares)
        return {
            "static": None,
            "proportional": Rebalancer(proportional, self.shares),
            "re-fit": Rebalancer(self.models, self.shares),
        }

    def best(self) -> np.ndarray:
        """Return the compute phase of the best plan for each step without noise, (steps,)."""
        return optimum(self.models, sum(self.shares), self.known())

    def followed(self, seed: int) -> dict[str, Followed]:
        """Run one trace in all ways."""
        seen = self.trace(seed)
        found = {}
        for way, rebalancer in self.ways().items():
            found[way] = follow(self.models, self.shares, seen, rebalancer)
        return found

    def scores(self, seed: int, within: int) -> list[Row]:
        """Judge the ways on one trace, by what their plans would take without noise.

        Args:
            seed: Of the trace.
            within: Steps after a change at which a plan is compared with the new optimum.

        Returns:
            One row a way: ``way``, ``seed``, the fraction of the optimum after the change
            (``slow``) and after the recovery (``recovered``), the ``mean step / optimum``, and the
            ``changes of plan``, those while the neighbour disturbs apart (``changes in noise``).
        """
        best = self.best()
        slow = self.change + within
        recovered = self.recovery + within
        rows = []
        for way, (_, plans) in self.followed(seed).items():
            taken = self._without_noise(plans)
            row = {
                "way": way,
                "seed": seed,
                "slow": best[slow] / taken[slow],
                "recovered": best[recovered] / taken[recovered],
                "mean step / optimum": np.mean(taken / best),
                "changes of plan": len(plans) - 1,
                "changes in noise": sum(step > DISTURBED for step, _ in plans),
            }
            rows.append(row)
        return rows

    def _without_noise(self, plans: Plans) -> np.ndarray:
        """Return the compute phase of each step as it would be without noise, (steps,)."""
        phases = []
        for step, factors in enumerate(self.known()):
            shares = in_force(plans, step)
            times = factors * step_times(self.models, shares)
            phases.append(times.max())
        return np.array(phases)
