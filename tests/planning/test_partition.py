"""The partition against exhaustive search, and what else a plan says."""

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hetlib.errors import PlanError
from hetlib.planning.partition import Partition, partition
from hetlib.planning.speed import Curves, SpeedModel
from tests.planning.models import random_model

GPU_AND_CPU = (SpeedModel.constant(1000), SpeedModel.constant(1, overhead=5))


class Case(NamedTuple):
    """What a partition is asked for."""

    models: list[SpeedModel]
    batch: int
    caps: list[int]
    floors: list[int]
    multiples: list[int]
    communication: Callable[[int], float] | None
    fewest: int

    def partition(self) -> Partition:
        return partition(
            self.models,
            self.batch,
            caps=self.caps,
            floors=self.floors,
            multiples=self.multiples,
            communication=self.communication,
            active=(self.fewest, len(self.models)),
        )

    def choices(self, rank: int) -> list[int]:
        """The local batches that a replica may have."""
        cap = min(self.caps[rank], self.batch)
        floor = self.floors[rank]
        unit = self.multiples[rank]
        inside = range(floor, cap + 1)
        return [0, *(n for n in inside if n % unit == 0)]

    def compute(self, shares: tuple[int, ...]) -> list[float]:
        return [m.time(n) for m, n in zip(self.models, shares, strict=True)]

    def step(self, shares: tuple[int, ...]) -> float:
        longest = max(self.compute(shares))
        active = int(np.count_nonzero(shares))
        if self.communication is None or active == 1:  # one has nobody to talk to
            return longest
        return longest + self.communication(active)


def best_by_search(case):
    """Return the shortest step of all possible shares, or ``None`` where there are none."""
    ranks = range(len(case.models))
    choices = [case.choices(rank) for rank in ranks]
    steps = []
    for shares in itertools.product(*choices):
        enough = np.count_nonzero(shares) >= case.fewest
        if enough and sum(shares) == case.batch:
            steps.append(case.step(shares))
    return min(steps, default=None)


def random_case(rng, number):
    """Caps and floors always; multiples, communication and a ban on leaving out at times."""
    count = int(rng.integers(1, 5))
    batch = int(rng.integers(1, 14))
    models = [random_model(rng) for _ in range(count)]
    costs = np.cumsum(rng.random(count + 1)).tolist()
    caps = rng.integers(1, batch + 3, count).tolist()
    floors = [1] * count
    if number % 3:
        floors = rng.integers(1, 5, count).tolist()
    multiples = [1 + number % 8 // 4] * count
    if number % 4:
        multiples = rng.choice([1, 1, 2, 3], count).tolist()
    return Case(
        models=models,
        batch=batch,
        caps=caps,
        floors=floors,
        multiples=multiples,
        communication=costs.__getitem__ if number % 2 else None,
        fewest=1 if number % 7 else count,
    )


def mismatch(rng, number):
    """Return how the partition of a random case differs from exhaustive search.

    "" says that it does not, "infeasible" that both find nothing.
    """
    case = random_case(rng, number)
    expected = best_by_search(case)
    try:
        plan = case.partition()
    except PlanError as error:
        return "infeasible" if expected is None else f"raised {error}"
    inside = all(n in case.choices(rank) for rank, n in enumerate(plan.shares))
    if expected is None or not inside or sum(plan.shares) != case.batch:
        return f"case {number}: {plan.shares}, the best takes {expected}"
    if abs(plan.step - expected) > 1e-9 * expected:
        return f"case {number}: {plan.shares} in {plan.step}, the best takes {expected}"
    times = case.compute(plan.shares)
    if not np.allclose(plan.compute, times, rtol=1e-12):
        return f"case {number}: compute {plan.compute}, not {times}"
    return ""


def test_equals_exhaustive_search_on_300_random_cases():
    rng = np.random.default_rng(0)
    found = [mismatch(rng, case) for case in range(300)]
    assert not [text for text in found if text not in ("", "infeasible")]
    assert 0 < found.count("infeasible") < 150


def test_accumulation_is_planned_where_caps_bind():
    fast = SpeedModel.constant(100, overhead=0.01)
    slow = SpeedModel.constant(50)
    with pytest.raises(ValueError, match="no choice of replicas"):
        partition([fast, slow], 128, caps=[16, 100])
    plan = partition([fast.repeated(16, 128), slow], 128, caps=[None, 100])
    samples = np.arange(28, 128)
    passes = -(-samples // 16)
    of_fast = passes * 0.01 + samples / 100
    of_slow = (128 - samples) / 50
    assert plan.step == pytest.approx(np.maximum(of_fast, of_slow).min())
    assert plan.shares[0] > 16


SPEEDS = st.lists(st.floats(0.1, 1000), min_size=1, max_size=40)


@given(SPEEDS, st.integers(1, 3000))
def test_shares_sum_to_the_global_batch_and_less_time_would_not_do(speeds, batch):
    models = [SpeedModel.constant(speed, overhead=0.001) for speed in speeds]
    plan = partition(models, batch)
    assert sum(plan.shares) == batch
    sooner = max(plan.compute) * (1 - 1e-9)
    tops = np.full(len(models), batch)
    reach = Curves(models).largest(sooner, tops)
    assert reach.sum() < batch  # in less time they do not reach it


def test_proportional_where_speeds_are_constant():
    plan = partition([SpeedModel.constant(s) for s in (90, 26, 9, 3)], 128)
    assert plan.shares == (90, 26, 9, 3)
    assert plan.step == pytest.approx(1.0)
    assert plan.equal_step == pytest.approx(32 / 3)
    assert plan.alone_step == pytest.approx(128 / 90)


def test_a_device_that_does_not_help_is_left_out_with_a_reason():
    plan = partition(GPU_AND_CPU, 100, names=["gpu", "cpu"])
    assert plan.shares == (100, 0)
    assert plan.reasons[0] == ""
    assert plan.reasons[1] == (
        "leaving cpu out: with it a step takes 6000.0 ms, without it 100.0 ms, modelled"
    )
    assert plan.idle[1] == 1.0


def test_communication_leaves_out_a_device_that_computes_well():
    models = [SpeedModel.constant(100), SpeedModel.constant(50)]
    quick = partition(models, 60, communication=lambda k: 0.1)
    assert quick.shares == (40, 20)
    plan = partition(models, 60, communication=lambda k: 0.3, names=["gpu", "cpu"])
    assert plan.shares == (60, 0)
    assert plan.communication == 0
    expected = "leaving cpu out: with it a step takes 700.0 ms, without it 600.0 ms, modelled"
    assert expected in plan.reasons


def test_nobody_is_left_out_where_all_must_take_part():
    assert partition(GPU_AND_CPU, 100, active=(2, 2)).shares == (99, 1)


def test_multiples():
    models = [SpeedModel.constant(speed) for speed in (30, 10, 2)]
    assert partition(models[:2], 64, multiples=[8, 8]).shares == (48, 16)
    assert partition(models, 67, multiples=[8, 8, 1]).shares == (48, 16, 3)
    message = r"no choice of replicas takes exactly 67 samples .* multiples"
    with pytest.raises(ValueError, match=message):
        partition(models[:2], 67, multiples=[8, 8])


def test_a_hundred_thousand_replicas_in_seconds():
    rng = np.random.default_rng(0)
    drawn = rng.uniform((1, 0), (100, 0.01), (100_000, 2))
    models = [SpeedModel.constant(speed, overhead) for speed, overhead in drawn]
    begin = time.perf_counter()
    plan = partition(models, 1_000_000)
    assert time.perf_counter() - begin < 10  # the goal of 1 s is a benchmark's matter
    assert plan.global_batch == 1_000_000
    assert max(plan.compute) < 1.2 * np.median(plan.compute)


def test_explain_and_text():
    plan = partition(GPU_AND_CPU, 100, names=["gpu", "cpu"])
    table = plan.explain()
    compute = "compute (ms), modelled"
    assert list(table.columns) == [
        "replica",
        "share",
        compute,
        "idle (%)",
        "reason",
    ]
    assert table.share.tolist() == [100, 0]
    assert table[compute].tolist() == pytest.approx([100, 0])
    assert str(plan).startswith(
        "step 100.0 ms +- 0 %, modelled; 550.00 times as fast as equal shares (both modelled); "
        "1.00 times as fast as the best alone (both modelled)"
    )
    assert partition([SpeedModel((2,), (1.0,), 0.04)], 2).uncertainty == 0.04


def test_caps_bind():
    models = [SpeedModel.constant(100), SpeedModel.constant(1)]
    assert partition(models, 20, caps=[8, None]).shares == (8, 12)


TWO = [SpeedModel.constant(30), SpeedModel.constant(10)]
WRONG = {
    "models": [None, 3, [], "ab", [1, 2], TWO[0], {1: TWO[0]}],
    "global_batch": [0, -1, 2.5, "8", None, True, 10**12, [8]],
    "caps": [3, "12", [1], [0, 1], [1.5, 1], ["1", 1], {1, 2}, [True, 1]],
    "floors": [3, [1], [0, 1], [None, 1], [1, 2.5], {0: 1, 1: 1}],
    "multiples": [3, [1], [0, 1], [8.0, 1], "88", [[1], [1]]],
    "names": [3, "ab", ["a"], [1, 2], {"a", "b"}],
    "communication": [3, "x", lambda k: "1", lambda k: -1, lambda k: float("nan")],
    "active": [2, "12", (1,), (2, 1), (1, 3), (0, 2), (1.5, 2), {1, 2}],
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_named(name):
    for value in WRONG[name]:
        arguments = {"models": TWO, "global_batch": 8, name: value}
        with pytest.raises(ValueError, match=f"`{name}"):
            partition(**arguments)


def test_numbers_of_numpy_and_torch_are_taken():
    plan = partition(
        TWO,
        np.int64(8),
        caps=np.array([5, 8]),
        floors=torch.tensor([1, 1]),
        multiples=np.array([1, 1]),
        active=np.array([1, 2]),
        communication=lambda k: np.float32(0.5),
    )
    expected = partition(TWO, 8, caps=[5, 8], communication=lambda k: 0.5)
    assert plan == replace(expected, floors=(1, 1), multiples=(1, 1))
    json.dumps(asdict(plan))


@pytest.mark.parametrize(
    "change",
    [
        {"shares": "31"},
        {"shares": [0, 0]},
        {"compute": (0.1,)},
        {"compute": (0.1, float("inf"))},
        {"communication": -1},
        {"equal_step": "1"},
        {"reasons": ("", 1)},
        {"times": "guessed"},
        {"times": ["measured"]},
        {"uncertainty": None},
        {"passes": (1,)},
        {"models": (1, 2)},
        {"caps": (0, 1)},
        {"floors": 3},
        {"note": None},
    ],
)
def test_a_plan_of_anything_else_is_refused_by_field(change):
    (name,) = change
    with pytest.raises(ValueError, match=f"`{name}"):
        replace(partition(TWO, 8), **change)


def test_exact_sums_of_many_samples_are_found_or_refused():
    begin = time.perf_counter()
    plan = partition(TWO, 300_001, multiples=[8, 1])
    assert sum(plan.shares) == 300_001
    assert plan.shares[0] % 8 == 0
    assert time.perf_counter() - begin < 30  # a look at each sum would take minutes
    with pytest.raises(PlanError, match="`global_batch` is 2000000001 for 2 replicas"):
        partition(TWO, 2_000_000_001, multiples=[8, 1])
