"""From curves to one plan, with real processes; how good it is is a matter of the benchmarks."""

import dataclasses
import math

import pytest

import hetlib
from tests.planning import workers

SMALL = hetlib.Experiment(global_batch=32, dataset_options={"per_class": 24})

IMPOSSIBLE = "no choice of replicas takes exactly 48 samples"


def passes(shares: tuple[int, ...], most: tuple[int, ...]) -> tuple[int, ...]:
    """Return the passes of shares that are taken at most so many samples at once."""
    both = zip(shares, most, strict=True)
    return tuple(max(math.ceil(n / cap), 1) for n, cap in both)


def test_a_device_that_costs_time_is_left_out_and_kept_if_asked(team):
    replicas = team(1, 12)
    plan = hetlib.plan_experiment(SMALL, replicas, seconds=0.5)
    assert plan.shares == (32, 0)
    assert plan.times == "measured"
    assert plan.communication < 0.1 * plan.step
    assert plan.alone_step == pytest.approx(plan.step, rel=0.01)
    fast, slow = plan.reasons
    assert fast == ""
    assert slow.startswith("leaving replica 1 (cpu/12) out: with it a step takes ")

    kept = hetlib.plan_experiment(SMALL, replicas, seconds=0.5, keep_all=True)
    assert min(kept.shares) >= 1
    assert sum(kept.shares) == 32
    assert kept.step > plan.step
    assert kept.reasons == ("", "")


def test_more_than_fits_goes_through_in_parts(team):
    most = (7, 9)  # 16 samples at once, of 48
    plan, other = team(1, 12).run(workers.little_memory, most)
    assert plan == other
    assert sum(plan.shares) == 48
    assert plan.passes == passes(plan.shares, most)
    assert max(plan.passes) > 1


def test_an_experiment_is_planned_for_more_than_fits(team, monkeypatch):
    replicas = team(1, 12)
    experiment = dataclasses.replace(SMALL, global_batch=48)
    small = hetlib.Platform.from_list([{"max_batch": 7}, {"max_batch": 9}])
    monkeypatch.setattr(replicas, "platform", small)
    with pytest.raises(hetlib.ReplicaError, match=IMPOSSIBLE):
        hetlib.plan_experiment(experiment, replicas, seconds=0.1)
    plan = hetlib.plan_experiment(experiment, replicas, seconds=0.1, accumulate=True)
    assert sum(plan.shares) == 48
    assert plan.passes == passes(plan.shares, (7, 9))
    record = hetlib.train(experiment, replicas, plan_with=plan)
    assert record.shares == list(plan.shares)

    virtual = hetlib.VirtualReplicas(small)
    modelled = hetlib.plan_experiment(experiment, virtual, accumulate=True)
    assert modelled.shares == (24, 24)
    batches = dataclasses.replace(experiment, model_options={"norm": "balanced"})
    with pytest.raises(ValueError, match="`norm` is 'balanced'"):
        hetlib.plan_experiment(batches, replicas, accumulate=True)


def test_an_impossible_batch_is_explained(team):
    small = {"max_batch": 8}
    with pytest.raises(hetlib.ReplicaError, match=IMPOSSIBLE):
        team(1, 12).run(workers.own_plan, [small, small])


def test_virtual_replicas_are_planned_by_their_nominal_speeds():
    platform = hetlib.Platform.emulated([1, 3])
    virtual = hetlib.VirtualReplicas(platform)
    plan = hetlib.plan_experiment(SMALL, virtual)
    assert plan.shares == (24, 8)
    assert plan.times == "modelled"


def test_one_replica_takes_the_batch(team):
    plan = hetlib.plan_experiment(SMALL, team(1), seconds=0.2)
    assert plan.shares == (32,)
