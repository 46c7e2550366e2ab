"""Plans from the clock, with real processes; how good they are is a matter of the benchmarks."""

import dataclasses
import re
import sys
import time

import pytest
import torch

import hetlib
from hetlib.planning import race
from hetlib.planning.progress import spending
from hetlib.training.setup import DDP_OPTIONS
from tests.planning import workers as workers_plan

SMALL = hetlib.Experiment(global_batch=32, dataset_options={"per_class": 24})


@pytest.fixture(scope="module")
def pool():
    with hetlib.Replicas(hetlib.Platform.emulated([1, 12])) as replicas:
        yield replicas


def test_a_device_that_costs_time_is_left_out_and_kept_if_asked(pool):
    plan = hetlib.plan_experiment(SMALL, pool, seconds=0.5)
    assert plan.shares == (32, 0)
    assert plan.times == "measured"
    assert plan.communication < 0.1 * plan.step
    assert plan.alone_step == pytest.approx(plan.step, rel=0.01)
    assert plan.reasons[0] == ""
    assert plan.reasons[1].startswith("leaving replica 1 (cpu/12) out: with it a step takes ")
    kept = hetlib.plan_experiment(SMALL, pool, seconds=0.5, keep_all=True)
    assert min(kept.shares) >= 1
    assert sum(kept.shares) == 32
    assert kept.step > plan.step
    assert kept.reasons == ("", "")


def test_measure_gives_a_rising_curve_of_every_replica(pool):
    fast, slow = hetlib.measure(SMALL, pool, seconds=2)
    assert fast.batches[-1] == 32  # the slow one may leave the large batches out
    assert 3 < slow.time(8) / fast.time(8) < 40
    assert 0 < fast.spread < 1


def test_a_script_of_ones_own(pool):
    bounds = [{"max_batch": 40, "multiple": 8}, {"max_batch": 40}]
    (plan, untouched), (other, also) = pool.run(workers_plan.own_plan, bounds)
    assert untouched
    assert also
    assert plan == other
    assert sum(plan.shares) == 48
    assert max(plan.shares) <= 40
    assert plan.shares[0] % 8 == 0
    assert plan.alone_step is None
    assert plan.names == ("replica 0 (cpu)", "replica 1 (cpu)")
    assert all(n > 0 for n in pool.run(workers_plan.one_step_each, (6, 2)))


def test_a_race_tells_computing_from_waiting_and_has_one_budget(pool):
    (steps, computes), other = pool.run(workers_plan.equal_shares_in_a_race, 12.0)
    assert (steps, computes) == other
    assert steps > 3  # those that every plan gets
    assert computes[1] > 4 * computes[0]  # as long as each other if waiting counted


def test_plans_that_are_near_each_other_take_more_steps(pool):
    seconds = {(20, 12): 0.05, (21, 11): 0.0503, (16, 16): 0.09}
    (steps, other) = pool.run(workers_plan.plans_of_known_times, seconds)
    assert steps == other == {(20, 12): 7, (21, 11): 7, (16, 16): 3}
    seconds = {(20, 12): 0.02, (16, 16): 0.05}
    assert pool.run(workers_plan.plans_of_known_times, seconds)[0] == {(20, 12): 3, (16, 16): 3}


def test_a_step_ends_where_the_replicas_meet(pool):
    step, _ = pool.run(workers_plan.a_slow_pass_beside_a_slow_update, 0.2)
    assert 0.2 < step < 0.3  # not 0.4: the one computes while the other updates


def test_a_plan_is_timed_as_it_will_be_trained(pool):
    first, second = pool.run(workers_plan.wrapped_for_a_plan, SMALL)
    assert first == second == [DDP_OPTIONS | {"find_unused_parameters": False}] * len(first)
    assert first


def test_a_model_with_unused_parameters(pool):
    first, second = pool.run(workers_plan.unused_parameters)
    assert first == second
    assert sum(first.shares) == 16


def test_more_than_fits_goes_through_in_parts(pool):
    plan, other = pool.run(workers_plan.little_memory, (7, 9))  # 16 samples at once, of 48
    assert plan == other
    assert sum(plan.shares) == 48
    assert plan.passes == tuple(
        max(-(-n // most), 1) for n, most in zip(plan.shares, (7, 9), strict=True)
    )
    assert max(plan.passes) > 1


def test_an_experiment_is_planned_for_more_than_fits(pool, monkeypatch):
    experiment = dataclasses.replace(SMALL, global_batch=48)
    monkeypatch.setattr(
        pool, "platform", hetlib.Platform.from_list([{"max_batch": 7}, {"max_batch": 9}])
    )
    with pytest.raises(hetlib.ReplicaError, match="no choice of replicas takes exactly 48 samples"):
        hetlib.plan_experiment(experiment, pool, seconds=0.1)
    plan = hetlib.plan_experiment(experiment, pool, seconds=0.1, accumulate=True)
    assert sum(plan.shares) == 48
    assert plan.passes == tuple(
        max(-(-n // most), 1) for n, most in zip(plan.shares, (7, 9), strict=True)
    )
    assert hetlib.train(experiment, pool, plan_with=plan).shares == list(plan.shares)
    virtual = hetlib.VirtualReplicas(pool.platform)
    assert hetlib.plan_experiment(experiment, virtual, accumulate=True).shares == (24, 24)
    batches = dataclasses.replace(experiment, model_options={"norm": "balanced"})
    with pytest.raises(ValueError, match="`norm` is 'balanced'"):
        hetlib.plan_experiment(batches, pool, accumulate=True)


def test_passes_and_the_statistics_of_a_global_batch_exclude_each_other():
    model = hetlib.convert_batchnorm(torch.nn.BatchNorm1d(4))
    with pytest.raises(ValueError, match="`accumulate` is True for a model with BalancedBatchNorm"):
        hetlib.plan(model, torch.randn(4, 4), global_batch=8, accumulate=True)


def test_a_stored_plan_is_used_again(pool, tmp_path):
    plan, _ = pool.run(workers_plan.stored_plan, str(tmp_path), 16)
    (path,) = tmp_path.glob("*.json")
    assert pool.run(workers_plan.stored_plan, str(tmp_path), 16) == [plan, plan]
    path.write_text(path.read_text().replace("replica 0 (cpu)", "read"))
    assert [p.names[0] for p in pool.run(workers_plan.stored_plan, str(tmp_path), 16)] == [
        "read",
        "read",
    ]
    path.write_text("{")
    assert pool.run(workers_plan.stored_plan, str(tmp_path), 16)[1].names[0] == "replica 0 (cpu)"
    assert sum(pool.run(workers_plan.stored_plan, str(tmp_path), 20)[0].shares) == 20
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_an_impossible_batch_is_explained(pool):
    with pytest.raises(hetlib.ReplicaError, match="no choice of replicas takes exactly 48 samples"):
        pool.run(workers_plan.own_plan, [{"max_batch": 8}, {"max_batch": 8}])


def test_virtual_replicas_are_planned_by_their_nominal_speeds():
    plan = hetlib.plan_experiment(SMALL, hetlib.VirtualReplicas(hetlib.Platform.emulated([1, 3])))
    assert plan.shares == (24, 8)
    assert plan.times == "modelled"


def test_a_bar_shows_the_seconds_spent_and_ends_with_its_block(capsys):
    with spending("planning", 4, True):
        time.sleep(1.3)
    drawn = capsys.readouterr().err
    spent = [int(n) for n in re.findall(r"planning: +\d+%\|.*?\| (\d) of 4 s", drawn)]
    assert spent == sorted(spent)
    assert {0, 1} <= set(spent) <= {0, 1, 2}
    assert re.findall(r"planning: +(\d+)%", drawn)[:3] == ["0", "12", "25"]
    with pytest.raises(ZeroDivisionError), spending("planning", 4, True):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("terminal", "kernel", "batch", "shown"),
    [
        (True, False, False, True),
        (False, False, False, False),
        (False, True, False, True),
        (False, True, True, False),
        (True, True, True, False),
    ],
)
def test_a_bar_is_drawn_where_somebody_looks(monkeypatch, capsys, terminal, kernel, batch, shown):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.delenv("HETLIB_BATCH", raising=False)
    if kernel:
        monkeypatch.setitem(sys.modules, "ipykernel", pytest)
    if batch:
        monkeypatch.setenv("HETLIB_BATCH", "1")
    with spending("planning", 1, None):
        pass
    assert ("planning" in capsys.readouterr().err) == shown


def test_planning_and_measuring_show_a_bar_where_they_were_called(pool, capsys):
    for shown in (True, False, None):
        hetlib.measure(SMALL, pool, seconds=0.1, progress=shown)
        assert ("measuring:" in capsys.readouterr().err) == bool(shown)
        hetlib.plan_experiment(SMALL, pool, seconds=0.1, progress=shown)
        assert ("planning:" in capsys.readouterr().err) == bool(shown)


def test_rank_0_alone_shows_the_bar_of_a_script_of_ones_own(pool):
    assert pool.run(workers_plan.bars_drawn, True) == [True, False]
    assert pool.run(workers_plan.bars_drawn, False) == [False, False]


def test_one_replica_takes_the_batch():
    with hetlib.Replicas(hetlib.Platform.emulated([1])) as alone:
        assert hetlib.plan_experiment(SMALL, alone, seconds=0.2).shares == (32,)


def test_the_first_step_that_counts_asks_for_no_memory():
    made: list[torch.optim.Optimizer] = []

    def optimizer_of(network: torch.nn.Module) -> torch.optim.Optimizer:
        made.append(torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9))
        return made[-1]

    def loss_of(network: torch.nn.Module, n: int) -> torch.Tensor:
        return network(torch.ones(n, 3)).square().mean()

    step = race._stepper(race.Task(hetlib.Replica(), torch.nn.Linear(3, 2), loss_of, optimizer_of))
    step(4)  # the turn that does not count
    assert len(made[0].state) == 2  # the momentum of weight and bias
