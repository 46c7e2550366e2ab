"""From curves to one plan: candidates by the model, the choice by the clock."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any

import numpy as np

from hetlib.planning.partition import Partition, left_out, partition
from hetlib.planning.race import WORTH, race
from hetlib.planning.speed import SpeedModel, spread
from hetlib.planning.timing import Task, curve, gather
from hetlib.replicas.platform import Replica

_HOPE = 1.25  # a plan whose modelled step is so many times that of the best is not tried


def limits_of(replicas: Sequence[Replica]) -> dict[str, Any]:
    names = [f"replica {rank} ({replica.name})" for rank, replica in enumerate(replicas)]
    return {
        "caps": [r.max_batch for r in replicas],
        "multiples": [r.multiple for r in replicas],
        "names": names,
    }


def decide(
    task: Task, batch: int, seconds: float, keep_all: bool = False, accumulate: bool = False
) -> Partition:
    """Return one plan for all ranks: candidates from curves, the choice from the clock."""
    curves, replicas = zip(*gather((curve(task, batch, seconds / 2), task.replica)), strict=True)
    limits, caps = limits_of(replicas), [r.max_batch or batch for r in replicas]
    if accumulate:
        curves, limits["caps"] = tuple(map(SpeedModel.repeated, curves, caps, repeat(batch))), None
    count, models = len(replicas), list(curves)
    # Replicas share a machine's memory, and gradients take time to exchange: a helper can cost more
    # than it gives.
    few = [] if keep_all else [(k, k) for k in sorted({1, 2, (count + 1) // 2, count})]
    # of active replicas: as the curves say, and a few to try
    numbers = [(count if keep_all else 1, count), *few]
    first = partition(curves, batch, active=numbers[0], **limits)
    if count == 1:
        return replace(first, passes=(-(-batch // caps[0]),))
    exposed = {1: 0.0}  # seconds that the exchange adds to a step, by number of active replicas
    for budget, most in ((0.2 * seconds, 3), (0.3 * seconds, 7)):
        known, rising = (
            sorted(exposed),
            np.maximum.accumulate([exposed[k] for k in sorted(exposed)]),
        )
        limits["communication"] = lambda k, x=known, y=rising: float(np.interp(k, x, y))
        found = []
        for active in numbers:
            # so few replicas cannot take the batch, or so many have no work
            with contextlib.suppress(ValueError):
                found.append(partition(models, batch, active=active, **limits))
        plans = {
            plan.shares: plan
            for plan in found
            if plan.step < _HOPE * min(other.step for other in found)
        }
        taken = race(task, plans, budget, most)  # (ranks, steps, 2) of each
        seen = {shares: times[..., 0].max(0) for shares, times in taken.items()}
        computes = {
            shares: np.median(times[..., 1], axis=1).tolist() for shares, times in taken.items()
        }
        # a replica's speed is that beside the most others
        for shares in sorted(plans, key=np.count_nonzero):
            exposed[int(np.count_nonzero(shares))] = float(np.median(seen[shares])) - max(
                computes[shares]
            )
            for r in np.flatnonzero(shares):
                models[r] = curves[r].slowed(computes[shares][r] / curves[r].time(shares[r]))
    steps = {shares: float(np.median(times)) for shares, times in seen.items()}
    # Those that stood aside have fewer steps; of the others each step has its rival in the same
    # turn.
    last = [shares for shares in plans if len(seen[shares]) == max(map(len, seen.values()))]
    best = seen[min(last, key=steps.__getitem__)]
    chosen = next(
        k for k in sorted(last, key=np.count_nonzero) if np.median(seen[k] / best) < 1 + WORTH
    )
    step, compute, reasons = steps[chosen], computes[chosen], list(plans[chosen].reasons)
    for r in np.flatnonzero(np.equal(chosen, 0)):
        if rivals := [steps[shares] for shares in plans if shares[r]]:
            reasons[r] = left_out(first.names[r], min(rivals), step, "measured")
    alone = min(
        (steps[shares] for shares in plans if np.count_nonzero(shares) == 1),
        default=first.alone_step,
    )
    passes = tuple(max(-(-n // cap), 1) for n, cap in zip(chosen, caps, strict=True))
    plan = replace(
        plans[chosen],
        compute=tuple(compute),
        communication=max(step - max(compute), 0.0),
        times="measured",
    )
    return replace(
        plan,
        alone_step=alone,
        reasons=tuple(reasons),
        passes=passes,
        uncertainty=spread(seen[chosen]),
    )
