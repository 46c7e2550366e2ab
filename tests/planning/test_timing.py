"""The step of one replica against the clock is the step of training."""

import dataclasses

import pytest
import torch
from torch import nn

import hetlib
from hetlib.planning import timing
from hetlib.planning.timing import Blocks, Stepper, Task, batches_to_time, fewest_samples
from hetlib.training.setup import DDP_OPTIONS
from tests.planning import workers
from tests.planning.clocks import Clock, QuotaClock

SMALL = hetlib.Experiment(global_batch=32, dataset_options={"per_class": 24})


def test_measure_gives_a_rising_curve_of_every_replica(team):
    fast, slow = hetlib.measure(SMALL, team(1, 12), seconds=2)
    assert fast.batches[-1] == 32  # the slow one may leave the large batches out
    assert 3 < slow.time(8) / fast.time(8) < 40
    assert 0 < fast.spread < 1


def test_a_step_ends_where_the_replicas_meet(team):
    step, _ = team(1, 12).run(workers.a_slow_pass_beside_a_slow_update, 0.2)
    assert 0.2 < step < 0.3  # not 0.4: the one computes while the other updates


def test_a_plan_is_timed_as_it_will_be_trained(team):
    first, second = team(1, 12).run(workers.wrapped_for_a_plan, SMALL)
    assert first
    assert first == second
    as_trained = DDP_OPTIONS | {"find_unused_parameters": False}
    assert all(options == as_trained for options in first)


def test_the_first_step_that_counts_asks_for_no_memory():
    made: list[torch.optim.Optimizer] = []

    def optimizer_of(network: nn.Module) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9)
        made.append(optimizer)
        return optimizer

    def loss_of(network: nn.Module, n: int) -> torch.Tensor:
        return network(torch.ones(n, 3)).square().mean()

    network = nn.Linear(3, 2)
    task = Task(hetlib.Replica(), network, loss_of, optimizer_of)
    step = Stepper(task)
    step(4)  # the turn that does not count
    assert len(made[0].state) == 2  # the momentum of weight and bias


@pytest.mark.parametrize(
    ("samples", "most", "parts"),
    [(10, 4, [4, 3, 3]), (9, 5, [5, 4]), (8, 4, [4, 4]), (3, 4, [3])],
)
def test_the_planner_times_the_parts_that_training_runs(samples, most, parts):
    platform = hetlib.Platform.from_list([{"max_batch": most}])
    experiment = dataclasses.replace(SMALL, global_batch=samples, shares=(samples,), max_steps=1)
    with workers.batches_of_first_layer() as trained:
        hetlib.train(experiment, workers.InPlace(0, platform))
    assert trained == parts

    network = workers.small_cnn()
    task = Task(platform.replicas[0], network, workers.mean_of_images, workers.plain)
    step = Stepper(task)
    with workers.batches_of_first_layer() as timed:
        step(samples)
    assert timed == trained


def test_time_step_returns_a_time_for_every_batch(monkeypatch):
    clock = Clock()
    clock.replace(monkeypatch, timing)
    calls = []

    def step(batch: int) -> float:
        calls.append(batch)
        return clock.compute(batch / 100)

    blocks = Blocks(step, (2, 4, 8), 0.2)
    # the first step of each asks for memory; looking at 8 would take longer than is left
    assert calls == [2, 2, 4, 4]
    assert blocks.taken() == {2: [0.02], 4: [0.04]}
    calls.clear()
    blocks.run(0.5)
    # a step that finds the caches cold, then three at least
    assert calls == [2] * 4 + [4] * 4 + [2] * 4 + [4] * 4 + [2] * 4
    assert blocks.taken()[2] == pytest.approx([0.02] * 3)

    blocks = Blocks(step, (2, 4), 2.0)
    calls.clear()
    blocks.run(0.5)
    # a block lasts for 2 / 8 s
    assert calls == [2] * 14 + [4] * 8
    assert batches_to_time(128, 2) == [8, 16, 32, 64, 128]
    assert batches_to_time(128, 2, 50) == [12, 25, 50]
    assert batches_to_time(1, 2) == [1]
    assert batches_to_time(128, 2, 1) == [1]


def test_batches_worth_timing_can_be_trained():
    assert batches_to_time(8, 2, least=2) == [2, 4, 8]
    assert batches_to_time(100, 2, multiple=8) == [8, 24, 48, 96]
    assert batches_to_time(4, 2, multiple=8) == [8]
    assert batches_to_time(64, 2, 20, least=4, multiple=4) == [4, 8, 20]
    assert batches_to_time(64, 2, 20, least=8, multiple=4) == [8, 20]


@pytest.mark.parametrize(("quota", "step"), [(0.25, 0.01), (0.5, 0.02), (0.1, 0.003)])
def test_a_processor_in_bursts_is_timed_as_it_is_in_the_long_run(monkeypatch, quota, step):
    clock = QuotaClock(quota)
    clock.replace(monkeypatch, timing)
    blocks = Blocks(lambda n: clock.compute(n * step / 8), (8, 16, 32), 10.0)
    blocks.run(10.0)
    model = hetlib.SpeedModel.measured(blocks.taken())
    for batch in (8, 16, 32):
        steady = batch * step / 8 / quota
        # a block may end in a burst or in a wait; a single step would be off by 1 / quota
        assert model.time(batch) == pytest.approx(steady, rel=0.2)


def test_steps_longer_than_a_budget_are_looked_at_once(monkeypatch):
    clock = Clock()
    clock.replace(monkeypatch, timing)
    blocks = Blocks(clock.compute, (8, 16, 32), 1.0)
    assert blocks.taken() == {8: [8.0], 16: [16.0]}
    assert clock.now == 124


def one_value(n: int) -> torch.Tensor:
    return torch.randn(n, 4)


def spread_of(network: nn.Module, n: int) -> torch.Tensor:
    return network(one_value(n)).std(0).sum()  # NaN of one sample


def in_pairs(network: nn.Module, n: int) -> torch.Tensor:
    left, right = network(one_value(n)).view(2, -1, 4)
    return (left - right).square().mean()


def mean_of(network: nn.Module, n: int) -> torch.Tensor:
    return network(one_value(n)).mean()


def with_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))


@pytest.mark.parametrize(
    ("network", "loss_of", "least"),
    [
        (nn.Linear(4, 4), mean_of, 1),
        (with_norm(), mean_of, 2),
        (nn.Linear(4, 4), spread_of, 2),
        (nn.Linear(4, 4), in_pairs, 2),
    ],
)
@pytest.mark.filterwarnings("ignore:std")
def test_the_fewest_samples_that_train_are_found(network, loss_of, least):
    task = Task(hetlib.Replica(), network, loss_of, workers.plain)
    assert fewest_samples(task) == least
    in_fours = Task(hetlib.Replica(multiple=4), network, loss_of, workers.plain)
    assert fewest_samples(in_fours) == 4
    assert in_fours.few == 4


def test_parts_in_evaluation_stay_so_and_a_copy_trains():
    network = with_norm()
    network[1].eval()
    copy = timing.alone(network)
    assert copy.training
    assert not copy[1].training
    network.eval()
    copy = timing.alone(network)
    assert copy[0].training
    assert copy[1].training
    assert not network.training


def test_synchronised_layers_meet_nobody_while_a_replica_is_timed_alone():
    network = nn.Sequential(nn.SyncBatchNorm(3), hetlib.convert_batchnorm(nn.BatchNorm1d(3)))
    for layer in timing.alone(network):
        assert torch.distributed.get_world_size(layer.process_group) == -1
