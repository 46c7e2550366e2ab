"""From an experiment to its record: plans, fingerprints, what is refused before anything starts."""

import dataclasses
import re
from unittest import mock

import numpy as np
import pytest
import torch

import hetlib
from hetlib.training.records import RunRecord, runs_frame
from tests.training.common import PLATFORM, SETTINGS, changed, limited

PLATFORM_OF_TWO = hetlib.Platform.emulated([1, 2])


@pytest.fixture
def pool(team):
    return team(1, 1, 1)


def planned(shares, passes=(), compute=(1.0, 1.0, 1.0)):
    """Return a plan for three replicas."""
    return hetlib.Partition(
        shares=shares,
        compute=compute,
        communication=0.0,
        equal_step=None,
        alone_step=None,
        reasons=("",) * 3,
        passes=passes,
    )


def test_a_plan_with_passes_is_trained_in_them(pool):
    experiment = changed(shares=None, max_steps=2)
    plan = planned((45, 13, 6), passes=(2, 1, 4))
    with mock.patch.object(pool, "run", side_effect=pool.run) as run:
        hetlib.train(experiment, pool, plan_with=plan)
    job = run.call_args.args[1]
    assert job.assignment.most == (23, 64, 2)
    assert job.assignment.plan is plan


def test_accumulation_is_refused_where_it_would_change_the_result(pool, monkeypatch):
    monkeypatch.setattr(pool, "platform", limited(44, 64, 64))
    for replicas in (pool, hetlib.VirtualReplicas(pool.platform)):
        for norm in ("batch", "pooled", "balanced"):
            with pytest.raises(ValueError, match=rf"`norm` is '{norm}'.*'group'"):
                hetlib.train(changed(model_options={"norm": norm}), replicas)
        with pytest.raises(ValueError, match="`norm` is 'batch'"):
            hetlib.train(changed(model="resnet18"), replicas)
    with pytest.raises(ValueError, match="`rebalance` True"):
        hetlib.train(changed(rebalance=True), pool)
    later = changed(
        shares=(44, 14, 6),
        plans=((1, (45, 13, 6)),),
        model_options={"norm": "batch"},
    )
    with pytest.raises(ValueError, match="`norm` is 'batch'"):
        hetlib.train(later, pool)


def test_records_are_reused_by_fingerprint_and_read_as_frames(pool, tmp_path):
    experiment = changed(max_steps=3)
    record = hetlib.train(experiment, pool, store=tmp_path)
    again = hetlib.train(experiment, pool, store=tmp_path)
    assert again.started == record.started  # read back, not run again
    other = hetlib.train(dataclasses.replace(experiment, seed=1), pool, store=tmp_path)
    assert other.fingerprint != record.fingerprint
    assert len(list(tmp_path.glob("*.json"))) == 2

    runs = runs_frame([record])
    assert runs.loc[0, "shares"] == "45/13/6"
    assert runs.loc[0, "times"] == "measured"
    assert runs.loc[0, "step_s"] > 0
    assert np.asarray(record.steps["compute"]).shape == (3, 3)
    assert record.environment["torch"] == torch.__version__.split("+")[0]
    assert np.sum(record.confusion) == record.dataset["test"]

    (tmp_path / f"{record.fingerprint}.json").write_text("{")  # a damaged record is made again
    assert hetlib.train(experiment, pool, store=tmp_path).scores == record.scores


def test_measured_plan_feeds_the_training(pool):
    experiment = changed(shares=None, dtype="float32", max_steps=2)
    plan = hetlib.plan_experiment(experiment, pool, seconds=0.2)
    assert sum(plan.shares) == 64
    assert hetlib.train(experiment, pool, plan_with=plan).shares == list(plan.shares)
    nominal = hetlib.train(experiment, hetlib.VirtualReplicas(hetlib.Platform.emulated([1, 1, 2])))
    assert sum(nominal.shares) == 64
    assert max(n * slow for n, slow in zip(nominal.shares, (1, 1, 2), strict=True)) == 26


def test_a_record_keeps_the_plan_behind_it_and_its_name(tmp_path):
    """The same shares and speeds, by a plan or by the experiment, are the same run."""
    replicas = hetlib.VirtualReplicas(hetlib.Platform.emulated([1, 1, 1]))
    plan = planned((45, 13, 6), compute=(45.0, 13.0, 6.0))
    by_plan = hetlib.train(changed(max_steps=1, shares=None), replicas, plan_with=plan)
    assert by_plan.plan is not None
    assert by_plan.plan["shares"] == [45, 13, 6]
    assert by_plan.plan["times"] == "modelled"
    assert RunRecord.load(by_plan.save(tmp_path)) == by_plan

    settings = changed(max_steps=1)
    plain = hetlib.train(settings, replicas)
    assert plain.plan is None
    assert hetlib.train(settings, replicas, plan_with=plan).fingerprint == plain.fingerprint


@pytest.mark.parametrize("strategy", ["balanced", "uneven-plain", "speed-weighted"])
@pytest.mark.parametrize("shares", [(32, 32, 0), (64, 64, 64)])
def test_a_plan_of_another_global_batch_is_refused(strategy, shares):
    """Its steps would be of other samples than the learning rate and the record say."""
    experiment = changed(strategy=strategy, shares=None, global_batch=128, max_steps=1)
    replicas = hetlib.VirtualReplicas(PLATFORM)
    said = rf"`plan_with.shares` is {re.escape(str(shares))}; .*`global_batch`, which is 128"
    with pytest.raises(ValueError, match=said):
        hetlib.train(experiment, replicas, plan_with=planned(shares))


@pytest.mark.parametrize("strategy", sorted(hetlib.STRATEGIES))
@pytest.mark.parametrize("own", [None, (32, 32)])
def test_a_plan_of_other_replicas_is_refused(strategy, own):
    experiment = changed(strategy=strategy, shares=own, max_steps=1)
    plan = planned((45, 13, 6))
    with pytest.raises(ValueError, match=r"`plan_with.shares` is \(45, 13, 6\); .*2 replicas"):
        hetlib.train(experiment, VIRTUAL, plan_with=plan)


@pytest.mark.parametrize(
    "settings", [{"strategy": "equal", "shares": None}, {"shares": (45, 13, 6)}]
)
def test_a_plan_for_the_speeds_alone_may_have_any_shares(settings):
    plan = planned((1, 1, 1), compute=(0.5, 0.25, 0.125))
    experiment = changed(max_steps=1, **settings)
    record = hetlib.train(experiment, hetlib.VirtualReplicas(PLATFORM), plan_with=plan)
    assert record.speeds == [2, 4, 8]
    assert sum(record.shares) == 64


ON_A_GPU = hetlib.Platform.from_list([{}, {"device": "cuda"}])


@pytest.mark.parametrize(
    ("factors", "platform", "said"),
    [
        ((1, 0.5), PLATFORM_OF_TWO, "replica 1: `slowdown` is 0.5; .* >= 1"),
        ((0, 1), PLATFORM_OF_TWO, "replica 0: `slowdown` is 0; .* >= 1"),
        ((-4, 1), PLATFORM_OF_TWO, "replica 0: `slowdown` is -4; .* >= 1"),
        ((1, 1e9), PLATFORM_OF_TWO, "replica 1: `slowdown` is 1000000000.0; .* <= 10000"),
        ((1, "4"), PLATFORM_OF_TWO, "replica 1: `slowdown` is '4'; .* >= 1"),
        ((1, 4), ON_A_GPU, "replica 1: `slowdown` is 4; .* 1 on 'cuda'"),
        ((1,), PLATFORM_OF_TWO, r" is \(1,\); .* each of the 2 replicas"),
        ((1, 1, 1), PLATFORM_OF_TWO, r" is \(1, 1, 1\); .* each of the 2 replicas"),
    ],
)
def test_a_drift_is_one_that_the_replicas_could_begin_with(factors, platform, said):
    experiment = changed(shares=(32, 32), drift=((0, (1, 1)), (3, factors)))
    with pytest.raises(ValueError, match=f"drift.* from step 3 on.*{said}"):
        hetlib.train(experiment, hetlib.VirtualReplicas(platform))


def test_a_job_keeps_no_records_in_a_store(tmp_path):
    """Ranks that find other records there would wait for each other."""
    replicas = mock.Mock(rank=0, timed=True)
    with pytest.raises(ValueError, match=r"let rank 0 of a job keep the record"):
        hetlib.train(SETTINGS, replicas, store=tmp_path)


VIRTUAL = hetlib.VirtualReplicas(PLATFORM_OF_TWO)


@pytest.mark.parametrize(
    ("name", "call"),
    {
        "experiment": lambda given: hetlib.train(given, VIRTUAL),
        "replicas": lambda given: hetlib.train(changed(), given),
        "plan_with": lambda given: hetlib.train(changed(), VIRTUAL, plan_with=given),
        "keep_weights": lambda given: hetlib.train(changed(), VIRTUAL, keep_weights=given),
        "store": lambda given: hetlib.train(changed(), VIRTUAL, store=given),
        "experiment ": lambda given: hetlib.measure(given, VIRTUAL),
        "experiment  ": lambda given: hetlib.plan_experiment(given, VIRTUAL),
        "replicas ": lambda given: hetlib.plan_experiment(changed(), given),
        "keep_all": lambda given: hetlib.plan_experiment(changed(), VIRTUAL, keep_all=given),
        "platform": hetlib.Replicas,
        "platform ": hetlib.VirtualReplicas,
        "platform  ": hetlib.JobReplicas,
        "timeout": lambda given: hetlib.Replicas(VIRTUAL.platform, timeout=given),
    }.items(),
)
@pytest.mark.parametrize("given", [3j, [], object()])
def test_what_is_asked_is_checked_by_name_before_anything_is_opened(name, call, given):
    with pytest.raises(ValueError, match=f"`{name.strip()}` is .*; it must be "):
        call(given)


def test_virtual_replicas_are_not_measured():
    with pytest.raises(ValueError, match=r"`replicas` is .*plan_experiment takes them"):
        hetlib.measure(changed(), VIRTUAL)


def test_a_folder_of_records_may_be_named_as_text(tmp_path):
    experiment = changed(max_steps=1, shares=None)
    record = hetlib.train(experiment, VIRTUAL, store=str(tmp_path))
    assert hetlib.train(experiment, VIRTUAL, store=str(tmp_path)).started == record.started
