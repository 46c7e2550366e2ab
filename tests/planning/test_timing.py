"""The step of one replica against the clock is the step of training."""

import dataclasses

import pytest
import torch
from torch import nn

import hetlib
from hetlib.planning import timing
from hetlib.planning.timing import Stepper, Task, fewest_samples
from hetlib.training.setup import DDP_OPTIONS
from tests.planning import workers

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
