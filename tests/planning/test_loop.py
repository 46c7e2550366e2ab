"""Rebalancing in a loop of one's own: what is timed, and that the loader deals anew."""

import dataclasses
import types

import pytest
import torch
from torch.autograd.variable import Variable

import hetlib
from hetlib.planning import loop
from hetlib.planning.loop import ComputeClock
from tests.planning import workers_rebalance
from tests.planning.clocks import Clock

MODELS = [hetlib.SpeedModel.constant(1000.0)] * 2
FAST = 0.0005
SLOW = 0.004


def plan_of(*shares, **limits):
    """A plan of these shares for equal replicas."""
    models = [hetlib.SpeedModel.constant(1 / FAST)] * len(shares)
    plan = hetlib.partition(models, sum(shares), **limits)
    return dataclasses.replace(plan, shares=shares)


class Takes(torch.autograd.Function):
    """Lets the backward pass take some time, as computing does, and then wait as DDP does."""

    @staticmethod
    def forward(ctx, x, clock, computes, waits):
        ctx.clock = clock
        ctx.computes = computes
        ctx.waits = waits
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        def wait():
            ctx.clock.now += ctx.waits

        Variable._execution_engine.queue_callback(wait)
        ctx.clock.now += ctx.computes
        return gradient, None, None, None


def test_the_wait_for_others_is_no_compute_time(monkeypatch):
    now = Clock()
    now.replace(monkeypatch, loop)
    clock = ComputeClock()
    weight = torch.ones(1, requires_grad=True)
    times = []
    for step in range(4):
        now.now += 0.5  # loading, the forward pass, the update
        loss = Takes.apply(weight, now, 0.25 + step, 10.0).sum()
        clock.watch(loss)
        loss.backward()
        times.append(clock.take())
    # when the first step began is not known
    assert times == [None, 1.75, 2.75, 3.75]
    assert clock.passes == 4


def test_the_passes_of_a_step_add_up(monkeypatch):
    now = Clock()
    now.replace(monkeypatch, loop)
    clock = ComputeClock()
    weight = torch.ones(1, requires_grad=True)
    for _ in range(3):
        loss = Takes.apply(weight, now, 1.0, 0.0).sum()
        clock.watch(loss)
        loss.backward(retain_graph=True)
    assert clock.take() == 2.0
    assert clock.take() is None
    loss.backward()  # once more
    assert clock.take() == 1.0


def in_steps(replicas, *phases):
    """The seconds a sample of each replica, from phases of (steps, slow replica)."""
    seconds = []
    for steps, slow in phases:
        of_step = [FAST] * replicas
        if slow is not None:
            of_step[slow] = SLOW
        seconds += [tuple(of_step)] * steps
    return seconds


@pytest.mark.parametrize("parts", [1, 2])
def test_a_loader_deals_anew_while_ones_own_loop_runs(team, parts):
    seconds = in_steps(2, (40, 0))
    by_rank = team(1, 1).run(workers_rebalance.own_loop, plan_of(16, 16), seconds, parts)
    assert by_rank[0] == by_rank[1]
    changes = by_rank[0]
    assert changes
    _, shares = changes[-1]
    assert sum(shares) == 32
    assert shares[0] < 10


@pytest.mark.parametrize("slow", [0, 1])
def test_under_a_loader_every_sample_is_still_trained_once_an_epoch(team, slow):
    by_rank = team(1, 1).run(workers_rebalance.trained_by_a_loader, plan_of(8, 8), slow)
    (first, counts, changes), (second, also_counts, also_changes) = by_rank
    assert sorted(first + second) == sorted([*range(520)] * 2)
    assert counts == also_counts
    assert changes == also_changes
    assert changes
    assert counts[0] == (8, 8)
    assert counts[-2] == changes[-1]  # the last step of an epoch is a short one
    assert changes[-1][slow] < 5


def test_a_replica_that_the_plan_leaves_out_stays_out_and_limits_hold(team):
    plan = plan_of(0, 16, 16, multiples=[1, 4, 4], floors=[1, 4, 4])
    plan = dataclasses.replace(plan, shares=(0, 16, 16))
    seconds = in_steps(3, (40, 1))
    by_rank = team(1, 1, 1).run(workers_rebalance.own_loop, plan, seconds)
    assert by_rank[0] == by_rank[1] == by_rank[2]
    assert by_rank[0]
    for _, shares in by_rank[0]:
        assert shares[0] == 0
        assert sum(shares) == 32
        assert all(samples % 4 == 0 and samples >= 4 for samples in shares[1:])


@pytest.mark.parametrize("order", ["loaded first", "loaded after", "by hand"])
def test_the_shares_that_the_loader_deals_by_are_the_ones_that_are_judged(team, order):
    """Also where a state was loaded, or they were changed by hand."""
    by_rank = team(1, 1).run(workers_rebalance.dealt_by_others, plan_of(16, 16), (28, 4), order)
    assert by_rank[0] == by_rank[1]
    before, after = by_rank[0]
    assert before == (28, 4)
    assert after[0] < 24


def test_without_others_nothing_changes():
    loader = workers_rebalance.Deals(0, (8,))
    rebalancer = hetlib.Rebalancer(plan_of(8), loader)
    weight = torch.ones(4, requires_grad=True)
    for _ in range(20):
        loss = (loader.batch() * weight).sum()
        assert rebalancer.step(loss) is None
        loss.backward()
    assert loader.changes == []


def test_a_step_without_a_backward_pass_is_named():
    loader = workers_rebalance.Deals(0, (8,))
    rebalancer = hetlib.Rebalancer(plan_of(8), loader)
    weight = torch.ones(4, requires_grad=True)
    loss = (loader.batch() * weight).sum()
    loss.backward()
    rebalancer.step(loss)  # too late
    loader.batch()
    with pytest.raises(RuntimeError, match=r"right before loss\.backward"):
        rebalancer.step(loss)


def test_a_rebalancer_says_what_it_is_made_of():
    with pytest.raises(RuntimeError, match=r"Rebalancer\(plan, loader\)"):
        hetlib.Rebalancer(MODELS, (8, 8)).step(torch.ones(1, requires_grad=True))
    watching = hetlib.Rebalancer(plan_of(8, 8), workers_rebalance.Deals(0, (8, 8)))
    with pytest.raises(RuntimeError, match=r"of a plan and a loader.*call `step`"):
        watching.exchange((8, 8), 0.1)
    old = dataclasses.replace(plan_of(8, 8), models=())
    with pytest.raises(ValueError, match="carries no speed models"):
        hetlib.Rebalancer(old, workers_rebalance.Deals(0, (8, 8)))
    for others in ((4, 4), (8, 4, 4)):
        with pytest.raises(ValueError, match=r"`shares` is a loader that deals .*of this plan"):
            hetlib.Rebalancer(plan_of(8, 8), workers_rebalance.Deals(0, others))
    with pytest.raises(ValueError, match=r"`shares` is .*a BalancedLoader"):
        hetlib.Rebalancer(plan_of(8, 8), hetlib.BalancedSampler(32, (8, 8), rank=0))


def test_a_loader_is_found_within_what_a_framework_made_of_it():
    loader = hetlib.BalancedLoader(range(32), (8, 8), rank=0)
    held = types.SimpleNamespace(_dataloader=loader)
    assert hetlib.Rebalancer(plan_of(8, 8), held).shares == (8, 8)
