"""One loop for all: processes, virtual replicas and one process agree in float64."""

import dataclasses
import itertools
from unittest import mock

import numpy as np
import pytest
import torch

import hetlib
from hetlib.datasets.catalog import load_dataset
from hetlib.training.experiment import Experiment
from hetlib.training.records import RunRecord, runs_frame
from hetlib.training.setup import Job
from hetlib.training.strategies import STRATEGIES, learning_rate, shares_for
from tests import workers

# 8 classes of 20 windows: 160 samples, so steps of 64, 64 and 32 an epoch; 20 steps are 7 epochs.
SETTINGS = Experiment(
    global_batch=64,
    shares=(45, 13, 6),
    epochs=7,
    max_steps=20,
    evaluate_every=3,
    dtype="float64",
    schedule="constant",
    lr=0.05,
    dataset_options={"per_class": 20},
)
PLATFORM = hetlib.Platform.emulated([1, 1, 1])


def difference(a: RunRecord, b: RunRecord) -> float:
    """Return the largest relative difference of any weight or buffer."""
    assert a.weights.keys() == b.weights.keys()
    return max(
        np.linalg.norm(a.weights[name] - b.weights[name])
        / max(np.linalg.norm(b.weights[name]), 1e-30)
        for name in a.weights
    )


@pytest.fixture(scope="module")
def pool():
    with hetlib.Replicas(PLATFORM) as replicas:
        yield replicas


@pytest.mark.parametrize(
    ("strategy", "norm"),
    [
        *itertools.product(["balanced", "uneven-plain"], ["group", "batch", "balanced", "pooled"]),
        *[("equal", "batch"), ("speed-weighted", "group")],
    ],
)
def test_virtual_replicas_equal_processes_after_20_steps(pool, strategy, norm):
    experiment = dataclasses.replace(SETTINGS, strategy=strategy, model_options={"norm": norm})
    real = hetlib.train(experiment, pool, keep_weights=True)
    virtual = hetlib.train(experiment, hetlib.VirtualReplicas(PLATFORM), keep_weights=True)
    assert difference(virtual, real) < 1e-10
    assert virtual.confusion == real.confusion
    assert virtual.epochs[-1]["loss"] == pytest.approx(real.epochs[-1]["loss"], rel=1e-9)
    assert [epoch["epoch"] for epoch in real.epochs] == [3, 6, 7]
    assert real.epochs[-1]["step"] == 20


def test_balanced_equals_one_process_and_plain_does_not(pool):
    single = hetlib.train(dataclasses.replace(SETTINGS, strategy="single"), pool, keep_weights=True)
    balanced = hetlib.train(SETTINGS, pool, keep_weights=True)
    plain = hetlib.train(
        dataclasses.replace(SETTINGS, strategy="uneven-plain"), pool, keep_weights=True
    )
    assert single.shares == [64, 0, 0]
    assert difference(balanced, single) < 1e-10
    assert balanced.confusion == single.confusion
    assert difference(plain, single) > 0.01


@pytest.mark.parametrize("strategy", ["balanced", "uneven-plain"])
def test_shares_beyond_what_fits_are_accumulated(pool, strategy, monkeypatch):
    """Uneven numbers of passes: 45 samples in five, 13 in two, 6 in one."""
    experiment = dataclasses.replace(SETTINGS, strategy=strategy)
    whole = hetlib.train(experiment, hetlib.VirtualReplicas(PLATFORM), keep_weights=True)
    monkeypatch.setattr(
        pool, "platform", hetlib.Platform.from_list([{"max_batch": n} for n in (10, 7, 10)])
    )
    real = hetlib.train(experiment, pool, keep_weights=True)
    assert difference(whole, real) < 1e-10
    assert real.epochs[-1]["loss"] == pytest.approx(whole.epochs[-1]["loss"], rel=1e-9)
    job = Job(
        dataclasses.replace(experiment, max_steps=1),
        pool.platform,
        (45, 13, 6),
        (1, 1, 1),
        (10, 7, 10),
        False,
    )
    assert pool.run(workers.pass_sizes, job) == [[9] * 5, [7, 6], [6]]


def test_a_plan_with_passes_is_trained_in_them(pool):
    experiment = dataclasses.replace(SETTINGS, shares=None, max_steps=2)
    plan = hetlib.Partition(
        (45, 13, 6), (1.0, 1.0, 1.0), 0.0, None, None, ("",) * 3, passes=(2, 1, 4)
    )
    with mock.patch.object(pool, "run", side_effect=pool.run) as run:
        hetlib.train(experiment, pool, plan_with=plan)
    assert run.call_args.args[1].most == (23, 64, 2)


def test_accumulation_is_refused_where_it_would_change_the_result(pool, monkeypatch):
    monkeypatch.setattr(
        pool, "platform", hetlib.Platform.from_list([{"max_batch": n} for n in (44, 64, 64)])
    )
    for replicas in (pool, hetlib.VirtualReplicas(pool.platform)):
        for norm in ("batch", "pooled", "balanced"):
            with pytest.raises(ValueError, match=rf"`norm` is '{norm}'.*'group'"):
                hetlib.train(dataclasses.replace(SETTINGS, model_options={"norm": norm}), replicas)
        with pytest.raises(ValueError, match="`norm` is 'batch'"):
            hetlib.train(dataclasses.replace(SETTINGS, model="resnet18"), replicas)
    with pytest.raises(ValueError, match="`rebalance` True"):
        hetlib.train(dataclasses.replace(SETTINGS, rebalance=True), pool)
    later = dataclasses.replace(SETTINGS, shares=(44, 14, 6), plans=((1, (45, 13, 6)),))
    with pytest.raises(ValueError, match="`norm` is 'batch'"):
        hetlib.train(dataclasses.replace(later, model_options={"norm": "batch"}), pool)


def test_balanced_statistics_make_batchnorm_equal_one_process(pool):
    """With 160 samples in steps of 159 the last step leaves two of three replicas without a sample."""
    for changes in (
        {},
        {"shares": (64, 0, 0), "max_steps": 4},
        {"global_batch": 159, "shares": (100, 58, 1), "epochs": 2},
    ):
        experiment = dataclasses.replace(SETTINGS, model_options={"norm": "balanced"}, **changes)
        single = hetlib.train(
            dataclasses.replace(experiment, strategy="single"),
            hetlib.VirtualReplicas(PLATFORM),
            keep_weights=True,
        )
        assert difference(hetlib.train(experiment, pool, keep_weights=True), single) < 1e-10
    local = dataclasses.replace(SETTINGS, model_options={"norm": "batch"})
    single = dataclasses.replace(local, strategy="single")
    assert (
        difference(
            hetlib.train(local, pool, keep_weights=True),
            hetlib.train(single, pool, keep_weights=True),
        )
        > 0.01
    )


def test_replicas_with_strips_of_the_scene(pool):
    """Processes and virtual replicas agree, and it is another run than with samples from anywhere."""
    strips = dataclasses.replace(
        SETTINGS, dataset_options={"per_class": 20, "shards": True}, strategy="uneven-plain"
    )
    virtual = hetlib.train(strips, hetlib.VirtualReplicas(PLATFORM), keep_weights=True)
    assert difference(virtual, hetlib.train(strips, pool, keep_weights=True)) < 1e-10
    anywhere = dataclasses.replace(strips, dataset_options={"per_class": 20})
    assert difference(virtual, hetlib.train(anywhere, pool, keep_weights=True)) > 0.01
    columns = load_dataset("brandenburg", per_class=20, shards=True)
    assert (np.diff(columns.centres[columns.shards, 1]) >= 0).all()
    with pytest.raises(TypeError, match="shards"):  # class folders have no places
        load_dataset("ucmerced", root=".", shards=True)


def test_a_replica_without_share_stays_out(pool):
    experiment = dataclasses.replace(SETTINGS, shares=(50, 0, 14), max_steps=4)
    left_out = hetlib.train(experiment, pool, keep_weights=True)
    assert left_out.shares == [50, 0, 14]
    assert np.asarray(left_out.steps["compute"])[:, 1].max() == 0
    single = hetlib.train(
        dataclasses.replace(experiment, strategy="single"), pool, keep_weights=True
    )
    assert difference(left_out, single) < 1e-10


def test_an_empty_share_in_the_last_step(pool):
    # 160 samples in steps of 159: the last step has one sample, so two of three replicas have none.
    experiment = dataclasses.replace(
        SETTINGS, global_batch=159, shares=(100, 58, 1), epochs=2, max_steps=None
    )
    real = hetlib.train(experiment, pool, keep_weights=True)
    single = hetlib.train(
        dataclasses.replace(experiment, strategy="single"),
        hetlib.VirtualReplicas(PLATFORM),
        keep_weights=True,
    )
    assert difference(real, single) < 1e-10


def test_the_same_run_twice_is_the_same_to_the_bit(pool):
    experiment = dataclasses.replace(SETTINGS, dtype="float32", max_steps=6)
    first, second = (hetlib.train(experiment, pool, keep_weights=True) for _ in range(2))
    assert difference(first, second) == 0
    assert first.fingerprint == second.fingerprint
    assert first.epochs == second.epochs


def test_random_layers_follow_the_seed_and_leave_the_callers_generator_alone():
    experiment = dataclasses.replace(
        SETTINGS, model="mobilenet_v3_small", dtype="float32", max_steps=2
    )
    before = torch.get_rng_state()
    first, second = (
        hetlib.train(experiment, hetlib.VirtualReplicas(PLATFORM), keep_weights=True)
        for _ in range(2)
    )
    assert difference(first, second) == 0
    assert before.equal(torch.get_rng_state())


@pytest.mark.parametrize("optimizer", ["Adam", "RMSprop"])
def test_any_torch_optimizer_and_schedule(pool, optimizer):
    experiment = dataclasses.replace(
        SETTINGS,
        optimizer=optimizer,
        optimizer_options=None,
        lr=1e-3,
        schedule="cosine",
        max_steps=3,
    )
    assert np.isfinite(hetlib.train(experiment, pool).epochs[-1]["loss"])


def test_records_are_reused_by_fingerprint_and_read_as_frames(pool, tmp_path):
    experiment = dataclasses.replace(SETTINGS, max_steps=3)
    record = hetlib.train(experiment, pool, store=tmp_path)
    again = hetlib.train(experiment, pool, store=tmp_path)
    assert again.started == record.started  # read back, not run again
    assert (
        hetlib.train(dataclasses.replace(experiment, seed=1), pool, store=tmp_path).fingerprint
        != record.fingerprint
    )
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
    experiment = dataclasses.replace(SETTINGS, shares=None, dtype="float32", max_steps=2)
    plan = hetlib.plan_experiment(experiment, pool, seconds=0.2)
    assert sum(plan.shares) == 64
    assert hetlib.train(experiment, pool, plan_with=plan).shares == list(plan.shares)
    nominal = hetlib.train(experiment, hetlib.VirtualReplicas(hetlib.Platform.emulated([1, 1, 2])))
    assert sum(nominal.shares) == 64
    assert max(n * slow for n, slow in zip(nominal.shares, (1, 1, 2), strict=True)) == 26


def test_shares_and_learning_rate_of_every_strategy():
    speeds, planned = (1.0, 4.0, 2.0), (10, 40, 14)
    expected = {"single": (64, 0, 0), "equal": (22, 21, 21), "fastest-only": (0, 64, 0)}
    for name in STRATEGIES:
        experiment = Experiment(strategy=name, global_batch=64, lr=0.1)
        assert shares_for(experiment, speeds, planned) == expected.get(name, planned)
        rate = learning_rate(experiment, planned)
        assert rate == (
            pytest.approx(0.1 * 9 / (1 / 10 + 1 / 40 + 1 / 14) / 64) if "retuned" in name else 0.1
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "resnet"},
        {"strategy": "balance"},
        {"optimizer": "Optimizer"},
        {"schedule": "linear"},
        {"dtype": "bfloat16"},
        {"global_batch": 0},
        {"epochs": 1.5},
        {"max_steps": 0},
        {"lr": float("nan")},
        {"lr": -1},
        {"shares": (100, 27)},
        {"shares": (129, -1)},
        {"seed": -1},
        {"evaluate_split": "train"},
    ],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` is "):
        Experiment(**wrong)
