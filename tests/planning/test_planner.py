"""Plans for a job of one's own, with real processes."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

import hetlib
from tests.planning import workers, workers_growth, workers_kinds

WITHOUT_EXTRAS = """
import sys
sys.modules |= dict.fromkeys(["psutil", "tqdm"])  # as if they were not installed
import hetlib, torch
plan = hetlib.plan(
    torch.nn.Linear(6, 3), torch.randn(4, 6), global_batch=16, seconds=0.1, progress=True
)
print(plan.shares)
"""


def test_a_script_of_ones_own(team):
    replicas = team(1, 12)
    bounds = [{"max_batch": 40, "multiple": 8}, {"max_batch": 40}]
    (plan, untouched), (other, also) = replicas.run(workers.own_plan, bounds)
    assert untouched
    assert also
    assert plan == other
    assert sum(plan.shares) == 48
    assert max(plan.shares) <= 40
    assert plan.shares[0] % 8 == 0
    assert plan.alone_step is None
    assert plan.names == ("replica 0 (cpu)", "replica 1 (cpu)")
    assert all(n > 0 for n in replicas.run(workers.one_step_each, (6, 2)))


def test_passes_and_the_statistics_of_a_global_batch_exclude_each_other():
    model = hetlib.convert_batchnorm(torch.nn.BatchNorm1d(4))
    with pytest.raises(ValueError, match="`accumulate` is True for a model with BalancedBatchNorm"):
        hetlib.plan(model, torch.randn(4, 4), global_batch=8, accumulate=True)


def test_a_stored_plan_is_used_again(team, tmp_path):
    def planned(global_batch):
        return team(1, 12).run(workers.stored_plan, str(tmp_path), global_batch)

    plan, _ = planned(16)
    plan = dataclasses.replace(plan, note="")  # of how long planning took, which it does not now
    (path,) = tmp_path.glob("*.json")
    assert planned(16) == [plan, plan]
    path.write_text(path.read_text().replace("replica 0 (cpu)", "read"))
    assert [p.names[0] for p in planned(16)] == ["read", "read"]
    path.write_text("{")
    assert planned(16)[1].names[0] == "replica 0 (cpu)"
    assert sum(planned(20)[0].shares) == 20
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_plan_needs_neither_psutil_nor_tqdm():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS], capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr) == ("(16,)\n", "")


def planned(network, batch, global_batch=8, **options):
    """Plan on this process alone."""
    return hetlib.plan(
        network, batch, global_batch=global_batch, seconds=0.05, progress=False, **options
    )


@pytest.mark.parametrize("kind", workers_kinds.KINDS)
def test_a_model_is_planned_whatever_it_is_given(team, kind):
    plan, other = team(1, 1).run(workers_kinds.planned, kind)
    assert plan == other
    assert sum(plan.shares) == 16


@pytest.mark.parametrize("kind", workers_kinds.IN_PAIRS)
def test_no_replica_gets_fewer_samples_than_the_model_trains_on(team, kind):
    plan, _ = team(1, 1).run(workers_kinds.planned, kind)
    assert sum(plan.shares) == 16
    assert 1 not in plan.shares
    assert plan.floors == (2, 2)


def test_planning_leaves_all_as_it_was(team):
    for differs in team(1, 1).run(workers_kinds.what_planning_changes):
        assert differs == []


def test_also_after_an_error_all_is_as_it_was():
    network = torch.nn.Linear(3, 2)
    network(torch.ones(1, 3)).sum().backward()
    gradient = network.weight.grad
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with pytest.raises(ValueError, match="`example_batch`"):
        planned(torch.nn.Sequential(torch.nn.Dropout(), network), torch.ones(4, 7))
    assert torch.equal(torch.rand(1), expected)
    assert network.weight.grad is gradient


def test_an_optimizer_that_draws_moves_no_random_state():
    def drawing(parameters):
        torch.rand(3)
        return torch.optim.SGD(parameters, lr=0.1)

    network = torch.nn.Linear(3, 2)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    planned(network, torch.ones(4, 3), optimizer=drawing)
    assert torch.equal(torch.rand(1), expected)


def test_the_callers_loss_and_optimizer_are_timed(team):
    for seen, made in team(1, 1).run(workers_kinds.plan_with_loss_and_optimizer):
        assert seen  # batches in the form of the example, of the network that is timed
        assert made == {("Adam", 0.0)}


@pytest.mark.parametrize(
    ("network", "batch", "options", "message"),
    [
        (torch.nn.Linear(3, 2), torch.ones(4, 5), {}, "does not run on `example_batch`.*dict of"),
        (torch.nn.Linear(3, 2), {"x": torch.ones(4, 3)}, {}, "does not run on `example_batch`"),
        (torch.nn.Linear(3, 2), (torch.ones(4, 3), torch.ones(5)), {}, r"tensors of \[4, 5\] rows"),
        (torch.nn.Linear(3, 2), torch.ones(0, 3), {}, r"tensors of \[0\] rows"),
        (torch.nn.Linear(3, 2), 0.5, {}, r"`example_batch` has tensors of \[\] rows"),
        (torch.nn.ReLU(), torch.ones(4, 3), {}, "`model` has no weight that is trained"),
        (torch.nn.Linear(3, 2, device="meta"), torch.ones(4, 3), {}, "`model` has weights without"),
        (torch.nn.LazyLinear(2), torch.ones(4, 3), {}, "`model` has lazy layers"),
        (
            torch.nn.Linear(3, 2),
            torch.ones(4, 3),
            {"optimizer": torch.optim.SparseAdam},
            "`optimizer` cannot take a step.*SparseAdam",
        ),
    ],
)
def test_what_cannot_be_timed_is_named(network, batch, options, message):
    with pytest.raises(ValueError, match=message):
        planned(network, batch, **options)


def test_a_loss_that_asks_the_wrapper_for_a_method_is_named(team):
    for message in team(1, 1).run(workers_kinds.plan_with_a_loss_of_a_method):
        assert "`loss` asks the model for `training_step`, but DDP" in message


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("model", [None, 3, "smallcnn", torch.nn.Linear, torch.ones(3)]),
        ("example_batch", [None, "x", [], {}, torch.tensor(1.0)]),
        ("global_batch", [0, 2.5, "8", True, None, 10**12]),
        ("seconds", [0, -1, "10", float("nan"), None, True]),
        ("loss", [3, "mse"]),
        ("optimizer", [3, "Adam"]),
        ("accumulate", [1, "yes", None]),
        ("progress", [1, "yes"]),
        ("store", [3, ["a"], "a\0b", __file__, np.array([3, 1])]),
        ("max_batch", [0, 2.5, "8"]),
        ("multiple", [0, None, 9, 10**9]),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(name, values):
    allowed = {"model": torch.nn.Linear(3, 2), "example_batch": torch.ones(4, 3)}
    for value in values:
        arguments = {**allowed, "global_batch": 8, "seconds": 0.1, name: value}
        with pytest.raises(ValueError, match=f"`{name}"):
            hetlib.plan(**arguments)


@pytest.mark.parametrize(
    ("name", "values"), [("global_batch", [16, 20]), ("accumulate", [False, True])]
)
def test_what_differs_between_ranks_is_refused_on_every_rank(team, name, values):
    for message in team(1, 1).run(workers_kinds.planned_differently, name, values):
        assert f"`{name}` is {values} by rank; give the same on every rank." in message


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("global_batch", -1, "`global_batch` is -1"),
        ("seconds", 0, "`seconds` is 0"),
        ("loss", "mse", "`loss` is 'mse'"),
        ("optimizer", 3, "`optimizer` is 3"),
        ("max_batch", 0, "`max_batch` is 0"),
        ("store", 3, "`store` is 3"),
        ("model", torch.nn.ReLU(), "`model` has no weight that is trained"),
        ("model", torch.nn.Linear(3, 2), "the model does not run on `example_batch`"),
    ],
)
def test_what_one_rank_refuses_is_refused_by_all(team, name, value, words):
    other, own = team(1, 1).run(workers_kinds.refused_by_one, name, value)
    assert own.startswith(f"ValueError: {words}")
    assert other.startswith("RefusedElsewhereError: rank 1 cannot plan (")
    assert other.endswith("so no rank can; see there.")


def test_an_option_that_no_replica_has_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'max_bach' \(meant: 'max_batch'\?\)"):
        planned(torch.nn.Linear(3, 2), torch.ones(4, 3), max_bach=3)
    with pytest.raises(ValueError, match="unknown key 'device'"):
        planned(torch.nn.Linear(3, 2), torch.ones(4, 3), device="cpu")


OUTSIDE = torch.nn.Linear(3, 2)


def wrong_optimizer(parameters):
    return len(parameters)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": lambda model, batch: model(batch)}, r"`loss\(model, example_batch\)`.*a number"),
        ({"loss": lambda model, batch: OUTSIDE(batch).sum()}, "reaches no weight of the model"),
        ({"loss": lambda model, batch: 1.0}, r"`loss\(model, example_batch\)`"),
        ({"optimizer": torch.optim.LBFGS}, "`optimizer` is LBFGS, whose step needs a closure"),
        ({"optimizer": wrong_optimizer}, "`optimizer` made a int"),
    ],
)
def test_a_loss_or_optimizer_that_does_not_train_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        planned(torch.nn.Linear(3, 2), torch.ones(4, 3), **options)
    OUTSIDE.zero_grad()


def one(model, batch):
    return model(batch).sum()


def two(model, batch):
    return 2 * model(batch).sum()


@pytest.mark.parametrize(
    ("changes", "planned_again"),
    [
        ({}, False),
        ({"host": "another"}, True),
        ({"interface": "eth7"}, True),
        ({"loss": two}, True),
        ({"optimizer": torch.optim.Adam}, True),
        ({"number": 0.25}, True),
    ],
)
def test_a_stored_plan_knows_where_and_what_was_trained(team, tmp_path, changes, planned_again):
    usual = {"number": 0.5} if "number" in changes else {"loss": one}
    team(1, 1).run(workers_kinds.stored, str(tmp_path), usual)
    team(1, 1).run(workers_kinds.stored, str(tmp_path), usual | changes)
    assert len(list(tmp_path.iterdir())) == 1 + planned_again


def test_a_stored_plan_knows_what_its_loss_was_made_with(team, tmp_path):
    for passes, plans in ((1, 1), (1, 1), (8, 2)):
        team(1, 1).run(workers_kinds.stored, str(tmp_path), {"passes": passes})
        assert len(list(tmp_path.iterdir())) == plans


def test_memory_does_not_grow_plan_by_plan(team):
    for stay in team(1, 1).run(workers_growth.twenty_plans):
        assert stay.groups == 0
        assert stay.wrapped <= 0
        assert stay.tensors < 1  # a few of the last exchange may be on their way
        # bytes a plan: of a network of 4 MB neither a copy stays nor a bucket or a gradient
        assert stay.resident < 2**20
