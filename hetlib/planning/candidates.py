"""Which plans are worth real steps: how many replicas take part, and what the budget affords."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hetlib.balanced.schedule import Shares
from hetlib.planning.partition import Partition

STEPS = 2  # of a plan in a round at least: the first does not count


def extremes(plans: Sequence[Partition]) -> list[Partition]:
    """Return the plans with the fewest and with the most replicas."""
    by_number = sorted(plans, key=lambda plan: np.count_nonzero(plan.shares))
    return [by_number[0], by_number[-1]]


def affordable(plans: Mapping[Shares, Partition], seconds: float) -> dict[Shares, Partition]:
    """Return the plans of which two steps each fit into so many seconds; the two fastest anyway."""
    kept: dict[Shares, Partition] = {}
    for plan in sorted(plans.values(), key=lambda plan: plan.step):
        cost = STEPS * plan.step
        if cost > seconds and len(kept) >= 2:
            break
        seconds -= cost
        kept[plan.shares] = plan
    return kept


def numbers_to_try(count: int, keep_all: bool) -> list[tuple[int, int]]:
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


def interpolated(seconds: Mapping[int, float]) -> Callable[[int], float]:
    """Return the seconds of any number of replicas from those of some: linear, never falling."""
    known = sorted(seconds)
    measured = [seconds[number] for number in known]
    rising = np.maximum.accumulate(measured)
    return lambda number: float(np.interp(number, known, rising))
