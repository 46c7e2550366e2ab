"""The partition against exhaustive search."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetlib.partition import partition
from hetlib.speed import SpeedModel, batches_to_time, time_step


def random_model(rng: np.random.Generator) -> SpeedModel:
    """A monotone model with an offset, bends and, at times, a plateau."""
    batches = np.sort(rng.choice(np.arange(1, 30), size=rng.integers(2, 6), replace=False))
    rises = rng.random(len(batches)) * (rng.random(len(batches)) < 0.8)
    seconds = rng.random() * 3 + 0.01 + np.cumsum(rises)
    return SpeedModel(tuple(int(b) for b in batches), tuple(float(s) for s in seconds))


def best_by_search(models, batch, caps, floors, communication):
    best = None
    choices = [[0, *range(low, min(cap, batch) + 1)] for low, cap in zip(floors, caps, strict=True)]
    for shares in itertools.product(*choices):
        if sum(shares) == batch:
            step = max(m.time(n) for m, n in zip(models, shares, strict=True))
            active = sum(n > 0 for n in shares)
            step += communication(active) if active > 1 else 0.0  # one replica has nobody to talk to
            best = step if best is None else min(best, step)
    return best


def test_equals_exhaustive_search_on_300_random_cases():
    rng = np.random.default_rng(0)
    infeasible = 0
    for case in range(300):
        count, batch = int(rng.integers(1, 5)), int(rng.integers(1, 14))
        models = [random_model(rng) for _ in range(count)]
        caps = [int(rng.integers(1, batch + 3)) for _ in range(count)]
        floors = [int(rng.integers(1, 5)) for _ in range(count)]
        costs = np.cumsum(rng.random(count + 1)) * (case % 2)
        communication = lambda active, costs=costs: float(costs[active])  # noqa: E731
        expected = best_by_search(models, batch, caps, floors, communication)
        arguments = {"caps": caps, "floors": floors, "communication": communication if case % 2 else None}
        if expected is None:
            infeasible += 1
            with pytest.raises(ValueError, match="no choice of replicas"):
                partition(models, batch, **arguments)
            continue
        plan = partition(models, batch, **arguments)
        assert sum(plan.shares) == batch
        assert all(n == 0 or low <= n <= cap for n, low, cap in zip(plan.shares, floors, caps, strict=True))
        assert plan.compute == tuple(m.time(n) for m, n in zip(models, plan.shares, strict=True))
        assert plan.step == pytest.approx(expected, rel=1e-9)
    assert 0 < infeasible < 150


@given(st.lists(st.floats(0.1, 1000), min_size=1, max_size=40), st.integers(1, 3000))
def test_shares_sum_to_the_global_batch_and_less_time_would_not_do(speeds, batch):
    models = [SpeedModel.constant(speed, overhead=0.001) for speed in speeds]
    plan = partition(models, batch)
    assert sum(plan.shares) == batch
    sooner = max(plan.compute) * (1 - 1e-9)
    assert sum(m.largest_batch(sooner, batch) for m in models) < batch  # in less time they do not reach it


def test_proportional_where_speeds_are_constant():
    plan = partition([SpeedModel.constant(s) for s in (90, 26, 9, 3)], 128)
    assert plan.shares == (90, 26, 9, 3)
    assert plan.step == pytest.approx(1.0)
    assert plan.equal_step == pytest.approx(32 / 3)
    assert plan.alone_step == pytest.approx(128 / 90)


def test_a_device_that_does_not_help_is_left_out_with_a_reason():
    plan = partition([SpeedModel.constant(1000), SpeedModel.constant(1, overhead=5)], 100, names=["gpu", "cpu"])
    assert plan.shares == (100, 0)
    assert plan.reasons[0] == ""
    assert "leaving cpu out" in plan.reasons[1]
    assert plan.idle[1] == 1.0


def test_caps_bind():
    assert partition([SpeedModel.constant(100), SpeedModel.constant(1)], 20, caps=[8, None]).shares == (8, 12)


@pytest.mark.parametrize("arguments", [{"caps": [1]}, {"floors": [0, 1]}, {"caps": [1, 1]}])
def test_wrong_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=r"floors|caps"):
        partition([SpeedModel.constant(1), SpeedModel.constant(1)], 8, **arguments)


def test_speed_model_is_monotone_and_extends_its_ends():
    model = SpeedModel((4, 8, 16), (1.0, 0.8, 2.0))
    assert model.seconds == (0.9, 0.9, 2.0)
    assert model.time(0) == 0
    assert model.time(24) == pytest.approx(3.1)
    assert model.largest_batch(0.9, 100) == 8
    assert model.largest_batch(0.1, 100) == 0


def test_wrong_speed_models_are_refused():
    for batches, seconds in [((), ()), ((4, 8), (1.0,)), ((4, 4), (1.0, 1.0)), ((1, 2), (0.0, 1.0))]:
        with pytest.raises(ValueError, match=r"batches|times|one time"):
            SpeedModel(batches, seconds)


def test_time_step_returns_a_time_for_every_batch():
    calls = []
    times = time_step(calls.append, (2, 4), seconds=0.0)
    assert set(times) == {2, 4}
    assert calls == [2, 4] * 4
    assert batches_to_time(128, 2) == [8, 16, 32, 64, 128]
    assert batches_to_time(128, 2, 50) == [12, 25, 50]
    assert batches_to_time(1, 2) == [1]
    assert batches_to_time(128, 2, 1) == [1]
    assert SpeedModel((1,), (0.5,)).time(3) == 1.5  # one point: in proportion
