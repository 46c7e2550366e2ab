"""The simulation in cases whose answer is known."""

import numpy as np
import pytest

import hetlib
from hetlib.planning.simulate import ring_all_reduce, simulate

SPEEDS = (4000.0, 1000.0, 300.0)
MODELS = [hetlib.SpeedModel.constant(speed, overhead=0.002) for speed in SPEEDS]


def approximately(seconds, steps):
    """Every step takes so long."""
    return pytest.approx(np.full(steps, seconds))


def test_without_stragglers_a_step_is_the_slowest_replica_and_the_communication():
    plan = hetlib.partition(MODELS, 64)
    ring = ring_all_reduce(4e6, 1e9, 5e-5)
    steps = simulate(MODELS, plan.shares, 5, communication=ring)
    slowest = max(plan.compute)
    sent = 4 / 3 * 4e6 / 1e9
    assert steps == approximately(slowest + sent + 4 * 5e-5, 5)
    silent = simulate(MODELS, plan.shares, 5)
    assert silent == approximately(plan.step, 5)


def test_a_replica_without_share_neither_computes_nor_communicates():
    ring = ring_all_reduce(4e6, 1e9)
    assert ring(1) == 0
    fast = MODELS[0]
    steps = simulate(MODELS, (64, 0, 0), 3, communication=lambda k: 7.0)
    assert steps == approximately(fast.time(64), 3)
    two = simulate(MODELS, (60, 4, 0), 1, communication=ring)
    assert two == approximately(fast.time(60) + 4e6 / 1e9, 1)


def test_overlap_hides_what_fits_beside_the_computing():
    compute = MODELS[0].time(64)
    for cost, overlap, visible in (
        (0.5, 0.5, 0.5 - 0.5 * compute),
        (0.25 * compute, 0.5, 0),
        (0.5, 0.0, 0.5),
    ):
        steps = simulate(
            MODELS[:2],
            (64, 1),
            2,
            communication=lambda _, cost=cost: cost,
            overlap=overlap,
        )
        assert steps == approximately(compute + visible, 2)


@pytest.mark.parametrize("replicas", [1, 8, 64])
def test_the_largest_of_exponentials_has_its_closed_form(replicas):
    # The largest of k standard exponentials has the mean H_k and the variance sum 1 / i^2.
    models = MODELS[:1] * replicas
    shares = [32] * replicas
    seconds = simulate(models, shares, 40_000, straggler=0.3, seed=1)
    steps = seconds / MODELS[0].time(32)
    i = np.arange(1, replicas + 1)
    mean = (1 / i).sum()
    variance = (1 / i**2).sum()
    error = 5 * 0.3 * np.sqrt(variance / len(steps))
    assert steps.mean() == pytest.approx(1 + 0.3 * mean, abs=error)
    assert steps.min() >= 1


def test_a_seed_is_a_result_and_memory_is_bounded():
    models = MODELS[:1] * 4096
    shares = [8] * 4096
    first = simulate(models, shares, 600, straggler=0.1, seed=0)
    again = simulate(models, shares, 600, straggler=0.1, seed=0)
    other = simulate(models, shares, 600, straggler=0.1, seed=1)
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert len(set(first)) == 600  # draws of their own in every part


@pytest.mark.parametrize(
    "wrong",
    [
        {"shares": (1, 2)},
        {"shares": (0, 0, 0)},
        {"steps": 0},
        {"overlap": 1.5},
        {"straggler": -1},
        {"shares": "123"},
        {"shares": (1, 2, "3")},
        {"shares": (1, 2, float("nan"))},
        {"steps": 10**12},
        {"steps": 4.0},
        {"overlap": "0"},
        {"straggler": float("inf")},
        {"seed": -1},
        {"seed": None},
        {"communication": 3},
        {"communication": lambda k: "1"},
    ],
)
def test_wrong_arguments_are_named(wrong):
    arguments = {"shares": (1, 2, 3), "steps": 4} | wrong
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=f"`{name}"):
        simulate(MODELS, **arguments)


def test_models_and_links_are_checked_too():
    for models in (None, 3, [1, 2, 3], MODELS[0]):
        with pytest.raises(ValueError, match="`models"):
            simulate(models, (1, 2, 3), 4)
    for name, value in {"size": "1", "bandwidth": 0, "latency": -1}.items():
        with pytest.raises(ValueError, match=f"`{name}` is"):
            ring_all_reduce(**{"size": 1, "bandwidth": 1, name: value})
    with pytest.raises(ValueError, match="`replicas` is 0"):
        ring_all_reduce(1, 1)(0)
