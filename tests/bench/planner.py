"""Does the partition equal exhaustive search, is it quick, and is its plan ever worse than one device alone?"""

import time

import numpy as np

from hetlib.planning.partition import partition
from hetlib.planning.speed import SpeedModel
from tests.bench import Row
from tests.bench._measure import row
from tests.test_partition import mismatch


def mismatches(cases: int) -> int:
    """Count random cases (caps, floors, multiples, communication, exclusion) that differ from exhaustive search."""
    rng = np.random.default_rng(1)
    return sum(mismatch(rng, case) not in ("", "infeasible") for case in range(cases))


def seconds_of(replicas: int, seed: int) -> float:
    """Return the seconds of one partition over affine models of unlike speed and overhead."""
    rng = np.random.default_rng(seed)
    drawn = rng.uniform((1, 0), (100, 0.01), (replicas, 2))
    models = [SpeedModel.constant(speed, overhead=overhead) for speed, overhead in drawn]
    begin = time.perf_counter()
    partition(models, 10 * replicas)
    return time.perf_counter() - begin


def over_alone(seed: int) -> float:
    """Return the plan's step over that of the best replica alone, both modelled, on a random platform up to 1:50."""
    rng = np.random.default_rng(seed)
    base = SpeedModel.constant(5000, overhead=rng.uniform(0, 0.02))
    slower = [1.0, *rng.choice([1, 2, 4, 8, 20, 50], rng.integers(1, 8))]
    exchange = rng.uniform(0, 0.02)
    plan = partition(
        [base.slowed(factor) for factor in slower], 256, communication=lambda k: exchange * (k - 1)
    )
    assert plan.alone_step is not None
    return plan.step / plan.alone_step


def run() -> list[Row]:
    """Return mismatches in 1,000 cases, the time for 100,000 replicas, and the modelled step over that alone."""
    wrong = mismatches(1000)
    times = [seconds_of(100_000, seed) for seed in range(5)]
    worse = [over_alone(seed) for seed in range(30)]
    return [
        Row(
            "1,000 random cases: other than exhaustive search",
            wrong,
            wrong,
            wrong,
            1000,
            "0",
            wrong == 0,
        ),
        row("100,000 replicas: seconds", times, at_most=1.0),
        row("30 platforms, modelled: plan's step / best alone, median", worse),
        Row(
            "the same, largest",
            max(worse),
            max(worse),
            max(worse),
            30,
            "<= 1.02",
            max(worse) <= 1.02,
        ),
    ]
