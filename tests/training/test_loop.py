"""One loop for all: processes, virtual replicas and one process agree in float64."""

import dataclasses
import itertools
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import hetlib
from hetlib.balanced.segmented import pool_segments
from hetlib.datasets.catalog import load_dataset
from hetlib.training.assignment import Assignment
from hetlib.training.opening import Reader, build_network
from hetlib.training.setup import Job, device_of
from tests.training import workers
from tests.training.common import (
    PLATFORM,
    SETTINGS,
    changed,
    difference,
    limited,
    trained,
    virtual,
)


@pytest.fixture
def pool(team):
    return team(1, 1, 1)


STRATEGY_AND_NORM = [
    *itertools.product(["balanced", "uneven-plain"], ["group", "batch", "balanced", "pooled"]),
    ("equal", "batch"),
    ("speed-weighted", "group"),
]


@pytest.mark.parametrize(("strategy", "norm"), STRATEGY_AND_NORM)
def test_virtual_replicas_equal_processes_after_20_steps(pool, strategy, norm):
    experiment = changed(strategy=strategy, model_options={"norm": norm})
    real = trained(experiment, pool)
    one_pass = virtual(experiment)
    assert difference(one_pass, real) < 1e-10
    assert one_pass.confusion == real.confusion
    assert one_pass.epochs[-1]["loss"] == pytest.approx(real.epochs[-1]["loss"], rel=1e-9)
    assert [epoch["epoch"] for epoch in real.epochs] == [3, 6, 7]
    assert real.epochs[-1]["step"] == 20


def test_balanced_equals_one_process_and_plain_does_not(pool):
    single = trained(changed(strategy="single"), pool)
    balanced = trained(SETTINGS, pool)
    plain = trained(changed(strategy="uneven-plain"), pool)
    assert single.shares == [64, 0, 0]
    assert difference(balanced, single) < 1e-10
    assert balanced.confusion == single.confusion
    assert difference(plain, single) > 0.01


def test_virtual_replicas_compute_on_the_gpu_that_all_are_on(monkeypatch):
    on_one = hetlib.Platform((hetlib.Replica("cuda"), hetlib.Replica("cuda:0")))
    mixed = hetlib.Platform((hetlib.Replica("cuda"), hetlib.Replica()))
    on_two = hetlib.Platform((hetlib.Replica("cuda"), hetlib.Replica("cuda:1")))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_of(on_one, None) == torch.device("cuda:0")
    assert device_of(mixed, None) == torch.device("cpu")
    assert device_of(on_two, None) == torch.device("cpu")
    assert device_of(PLATFORM, None) == torch.device("cpu")
    assert device_of(mixed, 0) == torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of(on_one, None) == torch.device("cpu")


@pytest.mark.parametrize("strategy", ["balanced", "uneven-plain"])
def test_shares_beyond_what_fits_are_accumulated(pool, strategy, monkeypatch):
    """Uneven numbers of passes: 45 samples in five, 13 in two, 6 in one."""
    experiment = changed(strategy=strategy)
    whole = virtual(experiment)
    monkeypatch.setattr(pool, "platform", limited(10, 7, 10))
    real = trained(experiment, pool)
    assert difference(whole, real) < 1e-10
    assert real.epochs[-1]["loss"] == pytest.approx(whole.epochs[-1]["loss"], rel=1e-9)

    assignment = Assignment(shares=(45, 13, 6), speeds=(1, 1, 1), most=(10, 7, 10))
    job = Job(dataclasses.replace(experiment, max_steps=1), pool.platform, assignment)
    assert pool.run(workers.pass_sizes, job) == [[9] * 5, [7, 6], [6]]


def test_a_slow_replica_pays_each_pass_before_the_next_begins(team):
    """Replica 0 takes its share in three passes, replica 1 in one."""
    platform = hetlib.Platform.emulated([2.0, 1.0])
    assignment = Assignment(shares=(24, 8), speeds=(1, 2), most=(8, 8))
    experiment = changed(shares=(24, 8), global_batch=32, max_steps=2)
    by_rank = team(2, 1).run(workers.stretches, Job(experiment, platform, assignment))
    for passes, notes in zip((3, 1), by_rank, strict=True):
        names = [*["forward", "backward"] * passes, "update"] * 2
        expected = [f"{name} {edge}" for name in names for edge in ("begins", "ends")]
        assert notes == expected


UNEVEN = (
    {},
    {"shares": (64, 0, 0), "max_steps": 4},
    {"global_batch": 159, "shares": (100, 58, 1), "epochs": 2},
)


@pytest.mark.parametrize("strategy", ["balanced", "uneven-plain"])
def test_pooled_statistics_weigh_replicas_by_the_shares_of_the_last_step(pool, strategy):
    """A training that begins with shares knows nothing of others that held for no step."""
    settings = {
        "strategy": strategy,
        "model_options": {"norm": "pooled"},
        "evaluate_every": 1,
        "max_steps": 6,
    }
    throughout = changed(shares=(45, 13, 6), **settings)
    moved = changed(shares=(6, 13, 45), plans=((0, (45, 13, 6)),), **settings)
    expected = virtual(throughout)
    for record in (virtual(moved), trained(moved, pool)):
        assert difference(record, expected) < 1e-10
        assert record.confusion == expected.confusion


def test_pooled_statistics_follow_shares_that_move_within_a_training(pool):
    """The evaluation after the third step still goes by the shares that it was dealt by."""
    before = (45, 13, 6)
    later = (6, 13, 45)
    experiment = changed(
        shares=before,
        plans=((3, later),),
        evaluate_every=1,
        max_steps=6,
        model_options={"norm": "pooled"},
    )
    with mock.patch("hetlib.training.loop.pool_segments", side_effect=pool_segments) as pooled:
        one_pass = virtual(experiment)
    assert [call.args[1] for call in pooled.call_args_list] == [before, later]
    assert difference(trained(experiment, pool), one_pass) < 1e-10


def test_balanced_statistics_make_batchnorm_equal_one_process(pool):
    """With 160 samples in steps of 159 the last leaves two of three replicas without a sample."""
    for changes in UNEVEN:
        experiment = changed(model_options={"norm": "balanced"}, **changes)
        single = virtual(dataclasses.replace(experiment, strategy="single"))
        assert difference(trained(experiment, pool), single) < 1e-10
    local = changed(model_options={"norm": "batch"})
    single = dataclasses.replace(local, strategy="single")
    assert difference(trained(local, pool), trained(single, pool)) > 0.01


def test_replicas_with_strips_of_the_scene(pool):
    """Processes and virtual replicas agree; it is another run than with samples from anywhere."""
    options = {"per_class": 20, "shards": True}
    strips = changed(dataset_options=options, strategy="uneven-plain")
    one_pass = virtual(strips)
    assert difference(one_pass, trained(strips, pool)) < 1e-10
    anywhere = dataclasses.replace(strips, dataset_options={"per_class": 20})
    assert difference(one_pass, trained(anywhere, pool)) > 0.01
    columns = load_dataset("brandenburg", per_class=20, shards=True)
    assert (np.diff(columns.centres[columns.shards, 1]) >= 0).all()
    with pytest.raises(ValueError, match="shards"):  # class folders have no places
        load_dataset("ucmerced", root=".", shards=True)


def test_a_replica_without_share_stays_out(pool):
    experiment = changed(shares=(50, 0, 14), max_steps=4)
    left_out = trained(experiment, pool)
    assert left_out.shares == [50, 0, 14]
    assert np.asarray(left_out.steps["compute"])[:, 1].max() == 0
    single = trained(dataclasses.replace(experiment, strategy="single"), pool)
    assert difference(left_out, single) < 1e-10


def test_an_empty_share_in_the_last_step(pool):
    # 160 samples in steps of 159: the last step has one sample, so two of three replicas have none.
    experiment = changed(global_batch=159, shares=(100, 58, 1), epochs=2, max_steps=None)
    real = trained(experiment, pool)
    single = virtual(dataclasses.replace(experiment, strategy="single"))
    assert difference(real, single) < 1e-10


def test_the_same_run_twice_is_the_same_to_the_bit(pool):
    experiment = changed(dtype="float32", max_steps=6)
    first = trained(experiment, pool)
    second = trained(experiment, pool)
    assert difference(first, second) == 0
    assert first.fingerprint == second.fingerprint
    assert first.epochs == second.epochs


def test_random_layers_follow_the_seed_and_leave_the_callers_generator_alone():
    experiment = changed(model="mobilenet_v3_small", dtype="float32", max_steps=2)
    before = torch.get_rng_state()
    first = virtual(experiment)
    second = virtual(experiment)
    assert difference(first, second) == 0
    assert before.equal(torch.get_rng_state())


@pytest.mark.parametrize("optimizer", ["Adam", "RMSprop"])
def test_any_torch_optimizer_and_schedule(pool, optimizer):
    experiment = changed(optimizer=optimizer, lr=1e-3, schedule="cosine", max_steps=3)
    assert np.isfinite(hetlib.train(experiment, pool).epochs[-1]["loss"])


@pytest.mark.parametrize(("steps", "evaluated"), [(1, [1]), (4, [1, 2]), (6, [1, 2])])
def test_a_training_ends_after_its_steps_and_is_evaluated_then(steps, evaluated):
    """Steps of 64, 64 and 32 samples an epoch; the last epoch may be a part of one."""
    experiment = changed(max_steps=steps, evaluate_every=1)
    record = hetlib.train(experiment, hetlib.VirtualReplicas(PLATFORM))
    assert [epoch["epoch"] for epoch in record.epochs] == evaluated
    assert record.epochs[-1]["step"] == steps


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6])
def test_the_loss_of_an_epoch_is_the_mean_over_the_samples_that_it_trained(pool, steps):
    """Weights that do not move give a mean loss that one process computes by itself."""
    settings = {"lr": 1e-30, "schedule": "constant", "evaluate_every": 1, "max_steps": steps}
    experiment = changed(optimizer_options={}, **settings)
    data = load_dataset("brandenburg", "train", per_class=20)
    network = build_network(experiment, data).double()
    sampler = hetlib.BalancedSampler(len(data), [64], rank=0)
    read = Reader(data)
    losses = []
    for epoch in range(2):
        for _, indices in sampler.steps(epoch, 0):
            images, labels = read(indices, epoch)
            outputs = network(images.double())
            losses.append(F.cross_entropy(outputs, labels, reduction="none").detach())
    of_steps = {1: losses[:3], 2: losses[3:]}
    for record in (virtual(experiment), trained(experiment, pool)):
        for epoch in record.epochs:
            first = 3 * (epoch["epoch"] - 1)
            trained_steps = of_steps[epoch["epoch"]][: epoch["step"] - first]
            mean = float(torch.cat(trained_steps).mean())
            assert epoch["loss"] == pytest.approx(mean, rel=1e-9)
