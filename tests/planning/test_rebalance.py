"""When other shares are worth a change, and that all replicas decide alike."""

import numpy as np
import pytest

import hetlib
from hetlib.planning.exchange import MESSAGE
from hetlib.planning.partition import partition
from tests.planning import workers_rebalance

CONSTANT = [hetlib.SpeedModel.constant(1000.0)] * 2
CURVED = [hetlib.SpeedModel.constant(1000.0, overhead=0.01)] * 2


def even(models, **options):
    """A plan of equal shares that may change."""
    return hetlib.Rebalancer(models, (64, 64), **options)


def play(rebalancer, factors, steps, noise=0.0, models=None):
    """Let replicas run for some steps; return the new plans by step.

    Args:
        rebalancer: Of the replicas.
        factors: Over their models, of all steps or of each.
        steps: How many.
        noise: Deviation of the logarithm of their times.
        models: Of the replicas; those of a constant speed by default.
    """
    rng = np.random.default_rng(0)
    replicas = len(rebalancer.shares)
    if models is None:
        models = CONSTANT[:1] * replicas
    plans = {}
    counts = []
    seconds = []
    for step, now in enumerate(np.broadcast_to(factors, (steps, replicas))):
        shares = rebalancer.shares
        modelled = times_of(models, shares)
        drawn = noise * rng.standard_normal(replicas)
        counts.append(shares)
        seconds.append(now * modelled * np.exp(drawn))
        if len(counts) == MESSAGE:
            changed = rebalancer.observe(counts, seconds)
            if changed:
                plans[step] = changed
            counts = []
            seconds = []
    return plans


def times_of(models, shares):
    return [m.time(n) for m, n in zip(models, shares, strict=True)]


def test_a_fourfold_slow_down_is_answered_with_the_new_optimum():
    for models in (CONSTANT, CURVED):
        rebalancer = even(models)
        # it learns how noisy the machine is
        assert play(rebalancer, [1, 1], 40, models=models) == {}
        plans = play(rebalancer, [4, 1], 10, models=models)
        slowed = models[0].slowed(4)
        best = hetlib.partition([slowed, models[1]], 128)
        assert list(plans.values()) == [best.shares]
        assert max(plans) <= 7


def test_a_curve_is_scaled_and_not_taken_for_a_speed():
    slowed = [CURVED[0].slowed(4), CURVED[1]]
    rebalancer = even(CURVED)
    play(rebalancer, [4, 1], 40, models=CURVED)
    step = max(times_of(slowed, rebalancer.shares))
    proportional = max(times_of(slowed, (26, 102)))
    assert step < 0.9 * proportional


def test_noise_alone_changes_nothing_and_a_small_drift_is_found_in_the_end():
    rebalancer = even(CONSTANT)
    assert play(rebalancer, [1, 1], 2000, noise=0.1) == {}
    small = play(rebalancer, [1.4, 1], 400, noise=0.02)
    assert min(small) > 10
    assert rebalancer.shares[0] == pytest.approx(128 / 2.4, abs=3)


@pytest.mark.parametrize("place", range(MESSAGE))
def test_slow_phases_are_sat_out_and_a_long_one_is_answered_and_undone(place):
    rebalancer = even(CONSTANT)
    factors = np.ones((600, 2))
    for first in range(50 + place, 600, 50):
        last = first + 15
        factors[first:last, 0] = 2
    assert play(rebalancer, factors, 600, noise=0.1) == {}
    factors = np.ones((200, 2))
    factors[place : 80 + place, 0] = 2
    answered, undone = play(rebalancer, factors, 200, noise=0.1)
    assert 20 <= answered + 1 - place <= 40  # slow steps seen
    assert 0 < undone + 1 - 80 - place <= 40
    assert rebalancer.shares == (64, 64)


def test_noise_of_many_replicas_changes_nothing_and_one_slow_among_them_is_found():
    models = [hetlib.SpeedModel.constant(1000.0)] * 200
    rebalancer = hetlib.Rebalancer(models, (64,) * 200)
    assert play(rebalancer, [1] * 200, 500, noise=0.1) == {}
    plans = play(rebalancer, [4] + [1] * 199, 10, noise=0.1)
    assert max(plans) <= 9
    assert 10 <= rebalancer.shares[0] <= 24


def test_usual_speeds_are_those_of_late():
    rebalancer = even(CONSTANT)
    phases = [(1.0, 1.0), (3.0, 3.0), (3.25, 3.0)]
    factors = np.repeat(phases, 400, axis=0)
    # 4 % lost: too little now, worth a change at the first speeds
    assert play(rebalancer, factors, 1200) == {}
    keener = even(CONSTANT, band=0.05 / 3, cost=10 / 3)
    assert play(keener, [3.25, 3.0], 1200)


@pytest.mark.parametrize("place", range(45, 55))
@pytest.mark.parametrize(
    ("models", "before", "after"),
    [
        (CONSTANT, [1, 3.74], [3.74, 1]),
        (CONSTANT, [1, 2], [2, 1]),
        (CURVED * 2, [1, 2, 4, 1], [4, 1, 2, 1]),
    ],
)
def test_replicas_that_swap_roles_get_the_best_plan_at_once(models, before, after, place):
    replicas = len(models)
    rebalancer = hetlib.Rebalancer(models, (64,) * replicas)
    factors = np.ones((place + 10, replicas)) * before
    factors[place:] = after
    plans = play(rebalancer, factors, place + 10, noise=0.02, models=models)
    assert [step for step in plans if step >= place] == [max(plans)]
    slowed = [model.slowed(factor) for model, factor in zip(models, after, strict=True)]
    best = hetlib.partition(slowed, 64 * replicas)
    assert max(times_of(slowed, rebalancer.shares)) < best.step / 0.9


def test_it_recovers_from_one_sample():
    rebalancer = even(CURVED)
    play(rebalancer, [100, 1], 50, models=CURVED)
    assert rebalancer.shares == (1, 127)  # too slow for even one, which it keeps
    play(rebalancer, [1, 1], 40, models=CURVED)
    assert rebalancer.shares == (64, 64)


def test_caps_hold_and_a_plan_that_gains_nothing_is_left():
    rebalancer = hetlib.Rebalancer(CONSTANT, (100, 28), caps=[None, 30])
    plans = play(rebalancer, [4, 1], 100)
    assert rebalancer.shares == (100, 28)
    assert plans == {}


def test_replicas_decide_alike_from_what_each_saw_of_itself(team):
    seconds = [[0.064, 0.064]] * 30 + [[0.256, 0.064]] * 12
    by_rank = team(1, 1).run(workers_rebalance.exchanged, seconds, (64, 64))
    assert by_rank[0] == by_rank[1]
    decided, seen = by_rank[0]
    whole = len(seconds) // MESSAGE * MESSAGE
    assert seen == seconds[:whole]  # a message at once, one step later
    assert any(decided)


def test_wrong_shares_are_named():
    message = r"`shares` is \(64, 0\); allowed is one >= 1 for each of 2 models"
    with pytest.raises(ValueError, match=message):
        hetlib.Rebalancer(CONSTANT, (64, 0))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((None, (64, 64)), "models"),
        (([1, 2], (64, 64)), "models"),
        ((CONSTANT, 64), "shares"),
        ((CONSTANT, "64"), "shares"),
        ((CONSTANT, (64, 64.0)), "shares"),
        ((CONSTANT, (64,)), "shares"),
        ((CONSTANT, (64, 64), 8), "caps"),
        ((CONSTANT, (64, 64), [8]), "caps"),
        ((CONSTANT, (64, 64), None, "0"), "band"),
        ((CONSTANT, (64, 64), None, 0.05, -1), "cost"),
        ((partition(CONSTANT, 8), (4, 4)), "shares"),
        ((partition(CONSTANT, 8), None), "shares"),
    ],
)
def test_what_is_no_job_to_rebalance_is_refused_by_name(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}"):
        hetlib.Rebalancer(*arguments)


def test_what_a_step_is_told_is_checked():
    rebalancer = hetlib.Rebalancer(CONSTANT, np.array([64, 64]))
    assert rebalancer.shares == (64, 64)
    for counts, seconds, name in (((64,), 1.0, "counts"), ((64, 64), "1", "seconds")):
        with pytest.raises(ValueError, match=f"`{name}` is"):
            rebalancer.exchange(counts, seconds)
