"""Plans that change in mid-run: every sample once, the same gradient, the same bits again."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hetlib
from hetlib.balanced.shares import deal
from hetlib.training.assignment import Assignment
from hetlib.training.loop import train_replica
from hetlib.training.setup import Job
from tests import workers
from tests.planning import workers_rebalance

CONSTANT = [hetlib.SpeedModel.constant(1000.0)] * 2
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


# Sampler


SIZES = st.integers(20, 400)
SHARES = st.lists(st.integers(1, 20), min_size=2, max_size=4)


@given(SIZES, SHARES, st.data())
def test_every_sample_once_whatever_changes_in_mid_epoch(size, shares, data):
    samplers = samplers_of(size, shares)
    first = samplers[0]
    per_epoch = len(first)
    steps = st.integers(0, 2 * per_epoch - 1)
    changes = data.draw(st.lists(steps, max_size=4))
    replans = {step: tuple(data.draw(st.permutations(shares))) for step in changes}
    for epoch in range(2):
        used = read_epoch(samplers, epoch * per_epoch, replans)
        for sampler in samplers:
            sampler.set_epoch(epoch + 1)
        assert sorted(used) == list(range(size))

    again = hetlib.BalancedSampler(size, shares, rank=0, seed=1)
    for step, plan in first.plans:
        again.replan(plan, step)
    batch = sum(shares)
    for step in range(per_epoch):
        samples = min(batch, size - step * batch)
        holds = plan_at(first.plans, step)
        assert again.counts(step) == deal(samples, holds)


def samplers_of(size, shares):
    ranks = range(len(shares))
    return [hetlib.BalancedSampler(size, shares, rank=rank, seed=1) for rank in ranks]


def read_epoch(samplers, first, replans):
    """Read an epoch on all ranks, and replan after some steps; return the samples read."""
    readers = [iter(sampler) for sampler in samplers]
    used = []
    for step in range(len(samplers[0])):
        batches = [next(reader) for reader in readers]
        used += itertools.chain(*batches)
        assert tuple(len(batch) for batch in batches) == samplers[0].counts(step)
        if first + step in replans:
            for sampler in samplers:
                sampler.replan(replans[first + step], first + step + 1)
    assert all(next(reader, None) is None for reader in readers)
    return used


def plan_at(plans, step):
    return [shares for first, shares in plans if first <= step][-1]


def test_steps_read_keep_their_counts():
    sampler = hetlib.BalancedSampler(40, [6, 2], rank=0)
    reader = iter(sampler)
    next(reader)
    next(reader)
    sampler.replan([1, 7], step=reader.position.step)
    sampler.replan([4, 4], step=4)
    assert [len(batch) for batch in reader] == [1, 1, 4]
    assert [sampler.counts(step) for step in range(5)] == [
        (6, 2),
        (6, 2),
        (1, 7),
        (1, 7),
        (4, 4),
    ]
    assert sampler.plans == [
        (0, (6, 2)),
        (2, (1, 7)),
        (4, (4, 4)),
    ]


@pytest.mark.parametrize(
    ("plan", "step"),
    [
        ([4, 3], None),
        ([8], None),
        ([4, 4], 0),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(plan, step):
    sampler = hetlib.BalancedSampler(40, [6, 2], rank=0)
    sampler.replan([6, 2], 1)
    message = r"`plan` is .* allowed: 2 numbers >= 0, sum 8, step >= 1"
    with pytest.raises(ValueError, match=message):
        sampler.replan(plan, step)


@pytest.mark.parametrize("ahead", [0, 2])
def test_the_gradient_stays_that_of_one_process(team, ahead):
    replans = {2: (2, 6), 5: (8, 0)}
    by_rank = team(1, 1).run(
        workers_rebalance.gradients_with_replans,
        60,
        (5, 3),
        replans,
        ahead,
    )
    expected = workers.whole_batch_gradients(60, (5, 3), 0)
    steps = [(5, 3)] * (2 + ahead) + [(2, 6)] * 3 + [(8, 0)] * (2 - ahead)
    for rank, (gradients, sizes) in enumerate(by_rank):
        assert sizes[:-1] == [shares[rank] for shares in steps]
        for found, reference in zip(gradients, expected, strict=True):
            difference = np.linalg.norm(found - reference)
            assert difference < 1e-12 * np.linalg.norm(reference)


# Training


def with_settings(**changes):
    return dataclasses.replace(SETTINGS, **changes)


def weights_equal(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_a_log_of_plans_replays_the_run_to_the_bit_and_changes_no_result(team):
    pool = team(1, 1)
    fast = with_settings(
        dtype="float32",
        drift=((3, (8, 1)),),
        max_steps=25,
        epochs=9,
    )
    job = Job(
        experiment=dataclasses.replace(fast, rebalance=True),
        platform=pool.platform,
        assignment=Assignment(shares=(40, 24), speeds=(1.0, 1.0), most=(64, 64)),
        keep_weights=True,
        models=CONSTANT,
    )
    live = pool.run(train_replica, job)[0]
    assert len(live["plans"]) > 1
    last = live["plans"][-1]
    assert last[1][0] < 40
    replay = dataclasses.replace(fast, plans=live["plans"])
    for _ in range(2):
        record = hetlib.train(replay, pool, keep_weights=True)
        assert record.plans == live["plans"]
        assert weights_equal(record.weights, live["weights"])


def test_changed_plans_keep_the_one_process_result(team):
    pool = team(1, 1)
    virtual = hetlib.VirtualReplicas(pool.platform)
    plans = ((0, (10, 54)), (4, (63, 1)), (8, (32, 32)))
    changing = with_settings(plans=plans)
    real = hetlib.train(changing, pool, keep_weights=True)
    again = hetlib.train(changing, virtual, keep_weights=True)
    other = hetlib.train(changing, virtual, keep_weights=True)
    alone = with_settings(strategy="single")
    single = hetlib.train(alone, virtual, keep_weights=True)
    assert weights_equal(again.weights, other.weights)
    for record in (real, again):
        for name, value in single.weights.items():
            difference = np.linalg.norm(record.weights[name] - value)
            size = max(np.linalg.norm(value), 1e-30)
            assert difference < 1e-10 * size
    assert real.plans == [[step, list(shares)] for step, shares in plans]
    assert hetlib.Experiment(**changing.to_dict()) == changing


def test_a_slow_down_in_mid_run_slows_that_replica_from_there_on(team):
    slowed = with_settings(
        max_steps=24,
        epochs=8,
        drift=((12, (1, 8)),),
    )
    record = hetlib.train(slowed, team(1, 1))
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
        with_settings(**settings)


def test_what_a_platform_cannot_do_is_said_before_it_starts():
    platform = hetlib.Platform.emulated([1, 1])
    virtual = hetlib.VirtualReplicas(platform)
    rebalanced = with_settings(rebalance=True)
    with pytest.raises(ValueError, match="virtual replicas have none"):
        hetlib.train(rebalanced, virtual)
    three = with_settings(drift=((3, (1, 1, 4)),))
    with pytest.raises(ValueError, match="2 replicas"):
        hetlib.train(three, virtual)
    negative = with_settings(drift=((3, (1, -4)),))
    with pytest.raises(ValueError, match=">= 1"):
        hetlib.train(negative, virtual)
