"""Traces of replicas whose speed changes, and how plans follow them; every step time here is modelled from a trace.

A trace is an array ``(steps, replicas)`` of factors: compute time over what the replica's step
model says.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hetlib.planning.partition import partition
from hetlib.planning.rebalance import MESSAGE, Rebalancer
from hetlib.planning.speed import SpeedModel
from hetlib.training.records import RunRecord


class Followed(NamedTuple):
    """What a trace makes of a plan that may change."""

    seconds: np.ndarray  # compute phase of each step, (steps,): the slowest replica's
    plans: list[tuple[int, tuple[int, ...]]]  # which shares hold from which step on


def schedule(steps: int, changes: Sequence[tuple[int, Sequence[float]]]) -> np.ndarray:
    """Return the trace that is 1 up to the first change ``(step, factor of each replica)`` and holds until the next."""
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
    compute, size = np.asarray(record.steps["compute"]), record.experiment["global_batch"]
    per_epoch = -(-record.dataset["train"] // size)
    full = (np.arange(len(compute)) % per_epoch < per_epoch - 1) | (
        record.dataset["train"] % size == 0
    )
    starts = sorted(
        {0, *(step for step, _ in record.plans), *(step for step, _ in record.experiment["drift"])}
    )
    parts = []
    for first, last in zip(starts, [*starts[1:], len(compute)], strict=True):
        part = compute[first + 1 : last][full[first + 1 : last]]
        part = part[:, part.min(axis=0) > 0] if len(part) else part
        if len(part) > 2:
            parts.append(part / np.median(part, axis=0))
    return np.concatenate(parts)


def resample(drawn: np.ndarray, steps: int, seed: int, block: int = 20) -> np.ndarray:
    """Return a trace of ``steps`` steps from blocks of a measured one (block bootstrap): bursts stay together."""
    block = min(block, len(drawn))
    begins = np.random.default_rng(seed).integers(0, len(drawn) - block + 1, -(-steps // block))
    return drawn[(begins[:, None] + np.arange(block)).ravel()[:steps]]


def constant_speeds(models: Sequence[SpeedModel], shares: Sequence[int]) -> list[SpeedModel]:
    """Return the models of somebody who knows only one speed of each replica: the one at its share."""
    return [SpeedModel.constant(n / model.time(n)) for model, n in zip(models, shares, strict=True)]


def follow(
    models: Sequence[SpeedModel],
    shares: Sequence[int],
    trace: np.ndarray,
    rebalancer: Rebalancer | None = None,
) -> Followed:
    """Run a trace, with times exchanged as `Rebalancer.exchange` does: a few steps at once, known one step later.

    A change of plan costs nothing here.
    """
    plans, seconds, counts = [(0, tuple(shares))], [], tuple(shares)
    own: list[tuple[tuple[int, ...], list[float]]] = []
    sent: list[tuple[tuple[int, ...], list[float]]] = []
    for step, factors in enumerate(trace):
        times = factors * [model.time(n) for model, n in zip(models, counts, strict=True)]
        seconds.append(times.max())
        own.append((counts, times.tolist()))
        if rebalancer and sent and (changed := rebalancer.observe(*zip(*sent, strict=True))):
            counts = changed
            plans.append((step + 1, counts))
        own, sent = ([], own) if len(own) == MESSAGE else (own, [])
    return Followed(np.array(seconds), plans)


def optimum(models: Sequence[SpeedModel], batch: int, trace: np.ndarray) -> np.ndarray:
    """Return the compute phase of the best plan for each step of a trace without noise, ``(steps,)``."""
    known = {
        factors: partition([m.slowed(f) for m, f in zip(models, factors, strict=True)], batch).step
        for factors in set(map(tuple, trace.tolist()))
    }
    return np.array([known[factors] for factors in map(tuple, trace.tolist())])
