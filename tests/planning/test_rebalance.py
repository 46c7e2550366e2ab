"""Plans that change in mid-run: every sample once, the same gradient, the same decision everywhere, and replay."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hetlib
from hetlib.balanced.sampler import deal
from hetlib.planning.rebalance import MESSAGE
from hetlib.training.loop import train_replica
from hetlib.training.setup import Job
from tests import workers
from tests.planning import workers_rebalance

CONSTANT = [hetlib.SpeedModel.constant(1000.0)] * 2
CURVED = [hetlib.SpeedModel.constant(1000.0, overhead=0.01)] * 2
SETTINGS = hetlib.Experiment(
    global_batch=64,
    shares=(40, 24),
    epochs=4,
    max_steps=12,
    evaluate_every=0,
    dtype="float64",
    lr=0.05,
    dataset_options={"per_class": 20},
)


@pytest.fixture(scope="module")
def pool():
    with hetlib.Replicas(hetlib.Platform.emulated([1, 1])) as replicas:
        yield replicas


def play(rebalancer, factors, steps, noise=0.0, seed=0):
    """Let replicas with these factors over their models, of all steps or of each, run; return the plans by step."""
    rng, plans, message = np.random.default_rng(seed), {}, []
    for step, now in enumerate(np.broadcast_to(factors, (steps, len(rebalancer.shares)))):
        counts = rebalancer.shares
        times = [f * m.time(n) for f, m, n in zip(now, rebalancer.models, counts, strict=True)]
        message.append((counts, times * np.exp(noise * rng.standard_normal(len(times)))))
        if len(message) == MESSAGE:
            if changed := rebalancer.observe(*zip(*message, strict=True)):
                plans[step] = changed
            message = []
    return plans


# Sampler


@given(st.integers(20, 400), st.lists(st.integers(1, 20), min_size=2, max_size=4), st.data())
def test_every_sample_once_whatever_changes_in_mid_epoch(size, shares, data):
    samplers = [hetlib.BalancedSampler(size, shares, rank=r, seed=1) for r in range(len(shares))]
    steps = len(samplers[0])
    changes = data.draw(st.lists(st.integers(0, 2 * steps - 1), max_size=4))
    plans = {k: tuple(data.draw(st.permutations(shares))) for k in changes}
    for epoch in range(2):
        readers = [iter(sampler) for sampler in samplers]
        used: list[int] = []
        for k in range(steps):
            batches = [next(reader) for reader in readers]
            used += [i for batch in batches for i in batch]
            assert [len(batch) for batch in batches] == list(samplers[0].dealt[-1])
            if epoch * steps + k in plans:
                for sampler in samplers:
                    sampler.replan(plans[epoch * steps + k])
        assert all(next(reader, None) is None for reader in readers)
        assert sorted(used) == list(range(size))
    again = hetlib.BalancedSampler(size, shares, rank=0, seed=1)
    for step, plan in samplers[0].plans:
        again.replan(plan, step)
    assert [again.counts(k) for k in range(steps)] == [
        deal(min(sum(shares), size - k * sum(shares)), dict_at(samplers[0].plans, k))
        for k in range(steps)
    ]


def dict_at(plans, step):
    return [shares for first, shares in plans if first <= step][-1]


def test_steps_read_keep_their_counts():
    sampler = hetlib.BalancedSampler(40, [6, 2], rank=0)
    reader = iter(sampler)
    next(reader), next(reader)
    sampler.replan([1, 7])
    sampler.replan([4, 4], step=4)
    assert [len(batch) for batch in reader] == [1, 1, 4]
    assert list(sampler.dealt) == [(6, 2), (6, 2), (1, 7), (1, 7), (4, 4)]
    assert sampler.plans == [(0, (6, 2)), (2, (1, 7)), (4, (4, 4))]


@pytest.mark.parametrize(
    ("plan", "step"), [([4, 3], None), ([9, -1], None), ([8], None), ([4, 4], 0)]
)
def test_a_plan_that_does_not_fit_is_refused(plan, step):
    sampler = hetlib.BalancedSampler(40, [6, 2], rank=0)
    next(iter(sampler))
    with pytest.raises(ValueError, match=r"`plan` is .* allowed: 2 numbers >= 0, sum 8, step >= 1"):
        sampler.replan(plan, step)


@pytest.mark.parametrize("ahead", [0, 2])
def test_the_gradient_stays_that_of_one_process(pool, ahead):
    replans = {2: (2, 6), 5: (8, 0)}
    by_rank = pool.run(workers_rebalance.gradients_with_replans, 60, (5, 3), replans, ahead)
    expected = workers.whole_batch_gradients(60, (5, 3), 0)
    for rank, (gradients, sizes) in enumerate(by_rank):
        assert sizes[: 2 + ahead] == [(5, 3)[rank]] * (2 + ahead)
        assert sizes[2 + ahead : -1] == [(2, 6)[rank]] * 3 + [(8, 0)[rank]] * (2 - ahead)
        for found, reference in zip(gradients, expected, strict=True):
            assert np.linalg.norm(found - reference) < 1e-12 * np.linalg.norm(reference)


# Decision


def test_a_fourfold_slow_down_is_answered_with_the_new_optimum():
    for models in (CONSTANT, CURVED):
        rebalancer = hetlib.Rebalancer(models, (64, 64))
        assert play(rebalancer, [1, 1], 40) == {}  # it learns how noisy the machine is
        plans = play(rebalancer, [4, 1], 10)
        best = hetlib.partition([models[0].slowed(4), models[1]], 128)
        assert list(plans.values()) == [best.shares]
        assert max(plans) <= 7


def test_a_curve_is_scaled_and_not_taken_for_a_speed():
    slowed = [CURVED[0].slowed(4), CURVED[1]]
    rebalancer = hetlib.Rebalancer(CURVED, (64, 64))
    play(rebalancer, [4, 1], 40)
    step = max(model.time(n) for model, n in zip(slowed, rebalancer.shares, strict=True))
    proportional = max(model.time(n) for model, n in zip(slowed, (26, 102), strict=True))
    assert step < 0.9 * proportional


def test_noise_alone_changes_nothing_and_a_small_drift_is_found_in_the_end():
    rebalancer = hetlib.Rebalancer(CONSTANT, (64, 64))
    assert play(rebalancer, [1, 1], 2000, noise=0.1) == {}
    small = play(rebalancer, [1.4, 1], 400, noise=0.02)
    assert min(small) > 10
    assert rebalancer.shares[0] == pytest.approx(128 / 2.4, abs=3)


@pytest.mark.parametrize("place", range(MESSAGE))
def test_slow_phases_are_sat_out_and_a_long_one_is_answered_and_undone(place):
    rebalancer = hetlib.Rebalancer(CONSTANT, (64, 64))
    factors = np.ones((600, 2))
    for first in range(50 + place, 600, 50):
        factors[first : first + 15, 0] = 2
    assert play(rebalancer, factors, 600, noise=0.1) == {}
    factors = np.ones((200, 2))
    factors[place : 80 + place, 0] = 2
    answered, undone = play(rebalancer, factors, 200, noise=0.1)
    assert 20 <= answered + 1 - place <= 40  # slow steps seen
    assert 0 < undone + 1 - 80 - place <= 40
    assert rebalancer.shares == (64, 64)


def test_noise_of_many_replicas_changes_nothing_and_one_slow_among_them_is_found():
    rebalancer = hetlib.Rebalancer([hetlib.SpeedModel.constant(1000.0)] * 200, (64,) * 200)
    assert play(rebalancer, [1] * 200, 500, noise=0.1) == {}
    assert max(play(rebalancer, [4] + [1] * 199, 10, noise=0.1)) <= 9
    assert 10 <= rebalancer.shares[0] <= 24


def test_usual_speeds_are_those_of_late():
    rebalancer = hetlib.Rebalancer(CONSTANT, (64, 64))
    factors = np.repeat([(1.0, 1.0), (3.0, 3.0), (3.25, 3.0)], 400, axis=0)
    # 4 % lost: too little now, worth a change at the first speeds
    assert play(rebalancer, factors, 1200) == {}
    assert play(
        hetlib.Rebalancer(CONSTANT, (64, 64), band=0.05 / 3, cost=10 / 3), [3.25, 3.0], 1200
    )


def test_it_recovers_from_one_sample():
    rebalancer = hetlib.Rebalancer(CURVED, (64, 64))
    play(rebalancer, [100, 1], 50)
    assert rebalancer.shares == (1, 127)  # too slow for even one, which it keeps
    play(rebalancer, [1, 1], 40)
    assert rebalancer.shares == (64, 64)


def test_caps_hold_and_a_plan_that_gains_nothing_is_left():
    rebalancer = hetlib.Rebalancer(CONSTANT, (100, 28), caps=[None, 30])
    plans = play(rebalancer, [4, 1], 100)
    assert rebalancer.shares == (100, 28)
    assert plans == {}


def test_replicas_decide_alike_from_what_each_saw_of_itself(pool):
    seconds = [[0.064, 0.064]] * 30 + [[0.256, 0.064]] * 12
    by_rank = pool.run(workers_rebalance.exchanged, seconds, (64, 64))
    assert by_rank[0] == by_rank[1]
    decided, seen = by_rank[0]
    assert seen == seconds[: len(seconds) // MESSAGE * MESSAGE]  # a message at once, one step later
    assert any(decided)


def test_wrong_shares_are_named():
    with pytest.raises(
        ValueError, match=r"`shares` is \(64, 0\); allowed is one >= 1 for each of 2 models"
    ):
        hetlib.Rebalancer(CONSTANT, (64, 0))


# Training


def weights_equal(a, b):
    return all(np.array_equal(a.weights[name], b.weights[name]) for name in a.weights)


def test_a_log_of_plans_replays_the_run_to_the_bit_and_changes_no_result(pool):
    fast = dataclasses.replace(
        SETTINGS, dtype="float32", drift=((3, (8, 1)),), max_steps=25, epochs=9
    )
    job = Job(
        dataclasses.replace(fast, rebalance=True),
        pool.platform,
        (40, 24),
        (1.0, 1.0),
        (64, 64),
        True,
        CONSTANT,
    )
    live = pool.run(train_replica, job)[0]
    assert len(live["plans"]) > 1
    assert live["plans"][-1][1][0] < 40
    replayed = [
        hetlib.train(dataclasses.replace(fast, plans=live["plans"]), pool, keep_weights=True)
        for _ in range(2)
    ]
    for record in replayed:
        assert record.plans == live["plans"]
        assert all(
            np.array_equal(live["weights"][name], record.weights[name]) for name in record.weights
        )


def test_changed_plans_keep_the_one_process_result(pool):
    changing = dataclasses.replace(SETTINGS, plans=((0, (10, 54)), (4, (63, 1)), (8, (32, 32))))
    real = hetlib.train(changing, pool, keep_weights=True)
    virtual = hetlib.VirtualReplicas(pool.platform)
    again, other = (hetlib.train(changing, virtual, keep_weights=True) for _ in range(2))
    single = hetlib.train(
        dataclasses.replace(SETTINGS, strategy="single"), virtual, keep_weights=True
    )
    assert weights_equal(again, other)
    for record in (real, again):
        for name, value in single.weights.items():
            assert np.linalg.norm(record.weights[name] - value) < 1e-10 * max(
                np.linalg.norm(value), 1e-30
            )
    assert real.plans == [[0, [10, 54]], [4, [63, 1]], [8, [32, 32]]]
    assert hetlib.Experiment(**changing.to_dict()) == changing


def test_a_slow_down_in_mid_run_slows_that_replica_from_there_on(pool):
    record = hetlib.train(
        dataclasses.replace(SETTINGS, max_steps=24, epochs=8, drift=((12, (1, 8)),)), pool
    )
    compute = np.asarray(record.steps["compute"])
    ratio = compute[:, 1] / compute[:, 0]
    # asked for 8; other work slows both
    assert np.median(ratio[13:]) > 1.5 * np.median(ratio[2:12])


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"strategy": "equal", "rebalance": True}, "`strategy` is 'equal'"),
        ({"plans": ((3, (64, 1)),)}, r"`shares` is \(64, 1\)"),
    ],
)
def test_wrong_settings_are_named(settings, word):
    with pytest.raises(ValueError, match=word):
        dataclasses.replace(SETTINGS, **settings)


def test_what_a_platform_cannot_do_is_said_before_it_starts():
    virtual = hetlib.VirtualReplicas(hetlib.Platform.emulated([1, 1]))
    with pytest.raises(ValueError, match="virtual replicas have none"):
        hetlib.train(dataclasses.replace(SETTINGS, rebalance=True), virtual)
    with pytest.raises(ValueError, match="2 replicas"):
        hetlib.train(dataclasses.replace(SETTINGS, drift=((3, (1, 1, 4)),)), virtual)
    with pytest.raises(ValueError, match=">= 0"):
        hetlib.train(dataclasses.replace(SETTINGS, drift=((3, (1, -4)),)), virtual)
