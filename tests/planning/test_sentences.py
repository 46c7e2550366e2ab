"""Every sentence of a plan has the plan's own numbers, whatever the models are."""

import re

import numpy as np
import pytest

import hetlib

NUMBER = r"([0-9.]+)"
SEEDS = range(40)


def drawn_plan(seed):
    """Partition for replicas, limits and a link that are drawn."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 6))
    models = []
    for _ in range(count):
        speed = float(np.exp(rng.uniform(0, 8)))
        overhead = float(rng.choice([0.0, 0.01, 0.3]))
        models.append(hetlib.SpeedModel.constant(speed, overhead))
    caps = None
    if rng.random() < 0.5:
        caps = [int(cap) for cap in rng.integers(16, 40, count)]
        if count < 4 or rng.random() < 0.5:
            caps[0] = 64  # or nobody takes the whole batch
    exchange = float(rng.choice([0.0, 0.002, 0.5]))
    return hetlib.partition(models, 64, caps=caps, communication=lambda k: exchange * (k - 1))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plan_is_compared_by_its_own_numbers(seed):
    plan = drawn_plan(seed)
    text = str(plan)
    (step,) = re.findall(rf"step {NUMBER} ms", text)
    assert step == f"{1e3 * plan.step:.1f}"
    others = {"equal shares": plan.equal_step, "the best alone": plan.alone_step}
    for name, seconds in others.items():
        found = re.findall(rf"{NUMBER} times as fast as {name} \(both modelled\)", text)
        if seconds is None:
            assert not found
            assert f"{name}: beyond a cap" in text
        else:
            assert found == [f"{seconds / plan.step:.2f}"]
            assert seconds >= plan.step * (1 - 1e-9)  # the plan is the best one


@pytest.mark.parametrize("seed", SEEDS)
def test_a_reason_is_that_of_its_replica_and_its_plan(seed):
    plan = drawn_plan(seed)
    for rank, sentence in enumerate(plan.reasons):
        assert bool(sentence) == (plan.shares[rank] == 0)
        if not sentence:
            continue
        pattern = rf"leaving (.+) out: with it a step takes {NUMBER} ms, without it {NUMBER} ms, "
        name, with_it, without = re.match(pattern, sentence).groups()
        assert name == plan.names[rank]
        assert without == f"{1e3 * plan.step:.1f}"
        assert float(with_it) >= float(without)
        assert sentence.endswith("modelled")


def test_plans_of_both_kinds_were_drawn():
    plans = [drawn_plan(seed) for seed in SEEDS]
    assert any(any(plan.reasons) for plan in plans)
    assert any(plan.equal_step is None for plan in plans)
    assert any(plan.alone_step is None for plan in plans)
