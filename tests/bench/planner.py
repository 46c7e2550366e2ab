"""Does the partition equal exhaustive search, is it quick, is it ever worse than one device alone?

All of it by the models; no clock but the one for the partition itself.
"""

import time

import numpy as np

from hetlib.planning.partition import partition
from hetlib.planning.speed import SpeedModel
from tests.bench import Row
from tests.bench._measure import row
from tests.planning.test_partition import mismatch


def mismatches(cases: int) -> int:
    """Count random cases that differ from exhaustive search.

    They have caps, floors, multiples, communication and exclusion.
    """
    rng = np.random.default_rng(1)
    results = [mismatch(rng, case) for case in range(cases)]
    return sum(result not in ("", "infeasible") for result in results)


def seconds_of(replicas: int, seed: int) -> float:
    """Return the seconds of one partition over affine models of unlike speed and overhead."""
    rng = np.random.default_rng(seed)
    drawn = rng.uniform((1, 0), (100, 0.01), (replicas, 2))
    models = []
    for speed, overhead in drawn:
        models.append(SpeedModel.constant(speed, overhead=overhead))
    begin = time.perf_counter()
    partition(models, 10 * replicas)
    return time.perf_counter() - begin


def over_alone(seed: int) -> float:
    """Return the plan's step over that of the best replica alone, on a random platform up to 1:50.

    Both are modelled.
    """
    rng = np.random.default_rng(seed)
    base = SpeedModel.constant(5000, overhead=rng.uniform(0, 0.02))
    others = rng.integers(1, 8)
    slower = [1.0, *rng.choice([1, 2, 4, 8, 20, 50], others)]
    models = [base.slowed(factor) for factor in slower]
    exchange = rng.uniform(0, 0.02)

    def communication(active: int) -> float:
        return exchange * (active - 1)

    plan = partition(models, 256, communication=communication)
    assert plan.alone_step is not None
    return plan.step / plan.alone_step


def figure(name: str, value: float, *, runs: int, goal: str, holds: bool) -> Row:
    """Return the row of a figure that has no interval."""
    return Row(name, value, low=value, high=value, runs=runs, goal=goal, holds=holds)


def run() -> list[Row]:
    """Return mismatches, the time for 100,000 replicas, and the modelled step over that alone."""
    wrong = mismatches(1000)
    times = [seconds_of(100_000, seed) for seed in range(5)]
    worse = [over_alone(seed) for seed in range(30)]
    worst = max(worse)
    return [
        figure(
            "1,000 random cases: other than exhaustive search",
            wrong,
            runs=1000,
            goal="0",
            holds=wrong == 0,
        ),
        row("100,000 replicas: seconds", times, at_most=1.0),
        row("30 platforms, modelled: plan's step / best alone, median", worse),
        figure("the same, largest", worst, runs=30, goal="<= 1.02", holds=worst <= 1.02),
    ]
