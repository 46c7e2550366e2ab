"""Traces of replicas whose speed changes, and how plans follow them; every step time here is modelled from a trace.

A trace is an array ``(steps, replicas)`` of factors: compute time over what the replica's step
model says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from hetlib.planning.partition import partition
from hetlib.planning.rebalance import MESSAGE, Rebalancer
from hetlib.planning.speed import SpeedModel
from hetlib.training.records import RunRecord

Shares = tuple[int, ...]

# The neighbour of replica 1 on a trace: from which step on, how often, and how much slower it makes
# a step.
DISTURBED = 110
OFTEN = 0.15
DISTURBANCE = (1.5, 3.0)


class Followed(NamedTuple):
    """What a trace makes of a plan that may change.

    Attributes:
        seconds: Compute phase of each step, (steps,): the slowest replica's.
        plans: Which shares hold from which step on.
    """

    seconds: np.ndarray
    plans: list[tuple[int, Shares]]


def schedule(steps: int, changes: Sequence[tuple[int, Sequence[float]]]) -> np.ndarray:
    """Return the trace that is 1 up to the first change and holds each until the next.

    Args:
        steps: Its length.
        changes: The step, and the factor of each replica from there on.
    """
    trace = np.ones((steps, len(changes[0][1])))
    for step, factors in changes:
        trace[step:] = factors
    return trace


def noise(record: RunRecord) -> np.ndarray:
    """Return a measured run's compute times over their median, ``(steps, active replicas)``.

    Medians are taken per replica and stretch of equal plan and slow-down, so that only noise is
    left. Dropped are the first step after each change, which allocates memory, and steps shorter
    than the global batch.
    """
    compute = np.asarray(record.steps["compute"])
    full = _full_steps(record, len(compute))
    changes = [*record.plans, *record.experiment["drift"]]
    starts = sorted({0, *(step for step, _ in changes)})
    parts = []
    for first, last in pairwise([*starts, len(compute)]):
        part = compute[first + 1 : last][full[first + 1 : last]]
        if len(part):
            part = part[:, part.min(axis=0) > 0]  # those that take part
        if len(part) > 2:
            parts.append(part / np.median(part, axis=0))
    return np.concatenate(parts)


def _full_steps(record: RunRecord, steps: int) -> np.ndarray:
    """Say which steps have a whole global batch, (steps,): the last one of an epoch may be shorter."""
    samples = record.dataset["train"]
    batch = record.experiment["global_batch"]
    if samples % batch == 0:
        return np.ones(steps, dtype=bool)
    per_epoch = -(-samples // batch)
    return np.arange(steps) % per_epoch < per_epoch - 1


def resample(drawn: np.ndarray, steps: int, seed: int, block: int = 20) -> np.ndarray:
    """Draw a trace from blocks of a measured one (block bootstrap): bursts stay together.

    Args:
        drawn: The measured one, (its steps, replicas).
        steps: Length of the new one.
        seed: Draws where the blocks begin.
        block: Steps of a block, or all where there are fewer.
    """
    block = min(block, len(drawn))
    blocks = -(-steps // block)
    begins = np.random.default_rng(seed).integers(0, len(drawn) - block + 1, blocks)
    return drawn[(begins[:, None] + np.arange(block)).ravel()[:steps]]


def disturbed(steps: int, seed: int) -> np.ndarray:
    """Return the trace of two replicas of which the second has a noisy neighbour from step `DISTURBED` on."""
    rng = np.random.default_rng(seed)
    spikes = (np.arange(steps) >= DISTURBED) & (rng.random(steps) < OFTEN)
    neighbour = np.where(spikes, rng.uniform(*DISTURBANCE, steps), 1.0)
    return np.stack([np.ones(steps), neighbour], axis=1)


def constant_speeds(models: Sequence[SpeedModel], shares: Sequence[int]) -> list[SpeedModel]:
    """Return the models of somebody who knows only one speed of each replica: the one at its share."""
    return [SpeedModel.constant(n / model.time(n)) for model, n in zip(models, shares, strict=True)]


def step_times(models: Sequence[SpeedModel], shares: Sequence[int]) -> list[float]:
    """Return the compute seconds of each replica by its model."""
    return [model.time(n) for model, n in zip(models, shares, strict=True)]


def follow(
    models: Sequence[SpeedModel],
    shares: Sequence[int],
    trace: np.ndarray,
    rebalancer: Rebalancer | None = None,
) -> Followed:
    """Run a trace, with times exchanged as `Rebalancer.exchange` does: a few steps at once, known one step later.

    A change of plan costs nothing here.

    Args:
        models: Step models of the replicas.
        shares: The plan that it begins with.
        trace: Factors over the models, (steps, replicas).
        rebalancer: Decides on other plans; None: the first one stays.
    """
    counts = tuple(shares)
    plans = [(0, counts)]
    seconds = []
    own: list[tuple[Shares, list[float]]] = []  # seen since the last message
    sent: list[tuple[Shares, list[float]]] = []  # the message that everybody knows one step later
    for step, factors in enumerate(trace):
        times = factors * step_times(models, counts)
        seconds.append(times.max())
        own.append((counts, times.tolist()))
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
    rebalancer: Rebalancer | None, message: Sequence[tuple[Shares, list[float]]]
) -> Shares | None:
    """Return the shares that a message leads to; None where the plan stays."""
    if rebalancer is None or not message:
        return None
    counts = [shares for shares, _ in message]
    times = [seconds for _, seconds in message]
    return rebalancer.observe(counts, times)


def optimum(models: Sequence[SpeedModel], batch: int, trace: np.ndarray) -> np.ndarray:
    """Return the compute phase of the best plan for each step of a trace without noise, ``(steps,)``."""
    rows = [tuple(factors) for factors in trace.tolist()]
    known = {}
    for factors in set(rows):
        slowed = [model.slowed(factor) for model, factor in zip(models, factors, strict=True)]
        known[factors] = partition(slowed, batch).step
    return np.array([known[factors] for factors in rows])


def in_force(plans: Sequence[tuple[int, Shares]], step: int) -> Shares:
    """Return the shares that hold at a step."""
    return [shares for first, shares in plans if first <= step][-1]


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

    models: Sequence[SpeedModel]
    shares: Shares
    noise: np.ndarray
    slower: float
    change: int
    recovery: int
    steps: int = 150

    def known(self) -> np.ndarray:
        """Return the trace without noise."""
        changes = [(self.change, (self.slower, 1.0)), (self.recovery, (1.0, 1.0))]
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

    def scores(self, seed: int, within: int) -> list[dict[str, Any]]:
        """Judge the ways on one trace, by what their plans would take without noise.

        Args:
            seed: Of the trace.
            within: Steps after a change at which a plan is compared with the new optimum.

        Returns:
            One row a way: ``way``, ``seed``, the fraction of the optimum after the change
            (``slow``) and after the recovery (``recovered``), the ``mean step / optimum``, and the
            ``changes of plan``, those while the neighbour disturbs apart (``changes in noise``).
        """
        known = self.known()
        best = self.best()
        rows = []
        for way, (_, plans) in self.followed(seed).items():
            taken = [self._clean(in_force(plans, k), known[k]) for k in range(len(known))]
            slow = self.change + within
            recovered = self.recovery + within
            row = {
                "way": way,
                "seed": seed,
                "slow": best[slow] / taken[slow],
                "recovered": best[recovered] / taken[recovered],
                "mean step / optimum": np.mean(np.divide(taken, best)),
                "changes of plan": len(plans) - 1,
                "changes in noise": sum(step > DISTURBED for step, _ in plans),
            }
            rows.append(row)
        return rows

    def _clean(self, shares: Shares, factors: np.ndarray) -> float:
        """Return the compute phase of a step without noise."""
        times = step_times(self.models, shares)
        return max(factor * seconds for factor, seconds in zip(factors, times, strict=True))
