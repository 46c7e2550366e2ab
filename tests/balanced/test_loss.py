"""The balanced gradient of P processes is the gradient of one process on the whole batch.

Every situation of real training, in real processes, against one process in float64.
"""

import re
from functools import partial
from typing import TypeAlias

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import hetlib
from hetlib.balanced.loss import weigh
from tests import workers as plain_workers
from tests.balanced import workers, workers_mistakes
from tests.balanced.situations import SITUATIONS

# samples, shares, seed, and whether the gradient is balanced
Case: TypeAlias = tuple[int, tuple[int, ...], int, bool]


def relative_error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def random_shares(replicas: int, rng: np.random.Generator) -> tuple[int, ...]:
    while True:
        sizes = rng.integers(0, 12, replicas)
        used = rng.random(replicas) < 0.8
        shares = tuple((sizes * used).tolist())
        if sum(shares):
            return shares


def random_cases(replicas: int) -> list[Case]:
    rng = np.random.default_rng(replicas)
    cases = []
    for seed in range(5):
        samples = int(rng.integers(8, 40))
        shares = random_shares(replicas, rng)
        cases.append((samples, shares, seed, True))
    if replicas > 1:
        # an empty share, one sample, a last step of 6
        gap = [0] * (replicas - 2)
        cases.append((13, (6, *gap, 1), 5, True))
        # equal shares, a last step smaller than them
        cases.append((9, (3,) * replicas, 6, True))
        # what DDP makes of it
        small = [1] * (replicas - 1)
        cases.append((8, (9 - replicas, *small), 7, False))
    return cases


@pytest.mark.parametrize("replicas", [1, 2, 3, 4])
def test_equals_one_process_for_any_shares(team, replicas):
    cases = random_cases(replicas)
    pool = team(*[1] * replicas)
    by_rank = pool.run(plain_workers.reduced_gradients, cases)
    for case, *steps in zip(cases, *by_rank, strict=True):
        samples, shares, seed, balanced = case
        expected = plain_workers.whole_batch_gradients(samples, shares, seed)
        first, *others = steps
        for found in steps:
            assert len(found) == len(expected)
        for other in others:
            np.testing.assert_array_equal(first, other)
        if not balanced:
            assert relative_error(first[0], expected[0]) > 0.01
            continue
        # the others are equal to the first one, to the bit
        for ours, reference in zip(first, expected, strict=True):
            assert relative_error(ours, reference) < 1e-12, case


@pytest.mark.parametrize("name", SITUATIONS)
def test_equals_one_process(team, name):
    situation = SITUATIONS[name]
    by_rank = team(1, 1, 1).run(workers.replicas_make, situation)
    expected = workers.one_process(situation)
    assert len(expected) > 1
    for first, *others in zip(*by_rank, strict=True):
        for other in others:
            assert first.equal(other)
    for found, reference in zip(by_rank[0], expected, strict=True):
        error = (found - reference).norm() / reference.norm()
        assert error < situation.tolerance


@pytest.fixture(scope="module")
def messages(team):
    by_rank = team(1, 1).run(workers_mistakes.mistakes_with_balance)
    assert by_rank[0].keys() == by_rank[1].keys()
    return by_rank


@pytest.mark.parametrize(
    ("mistake", "words"),
    {
        "part": "RuntimeError: `samples` is ., but . samples were dealt to this replica",
        "read ahead": r"RuntimeError: 2 batches were handed out .* balance\(loss, loader, count=",
        "announced part": "RuntimeError: `samples` is 4, but this replica's count is 3",
        "part of a number": "ValueError: .*announce the count of all parts once",
        "no count": "ValueError: give `loader`, .* or `count`",
        "negative count": "ValueError: `count` is -1.0; it must be a finite number >= 0",
        "several counts": r"ValueError: `count` has the shape \(2,\)",
        "sum with a count": "ValueError: `reduction` is 'sum', which needs no counts",
        "replicas": "ValueError: `plan` has 3 replicas, but the job has 2 processes",
        "group": "ValueError: `loader` deals to 3 replicas, but 2 processes average the gradients",
        "reduction": "ValueError: `reduction` is 'average'; allowed",
        "evaluation": "RuntimeError: `loss` needs no gradient .*in an evaluation leave",
        "outputs": "TypeError: `loss` is a dict; give the tensor",
        "weight": "RuntimeError: `loss` is a weight itself",
        "twice": "RuntimeError: this loss was balanced before",
        "join": r"RuntimeError: counts cannot be summed inside DDP's join\(\)",
        "unread": "RuntimeError: no batch was handed out yet",
        "left out": "RuntimeError: the batch has 3 rows, but 4 samples were dealt",
        "filled": "RuntimeError: BatchNorm over all replicas counts the sample",
        "other loader": "TypeError: `loader` is a list; pass the BalancedLoader",
    }.items(),
)
def test_a_mistake_is_named_on_every_replica(messages, mistake, words):
    for found in messages:
        assert re.search(words, found[mistake]), found[mistake]


def test_batches_that_were_not_dealt_are_refused_and_evaluation_is_free(team):
    found = team(1, 1).run(workers.evaluates_and_trains_on_others)
    for refused, counts, state in found:
        assert "no batch was handed out yet" in refused
        assert counts == [(6, 2), (6, 2)]
        assert (state["epoch"], state["step"]) == (1, 0)


def test_balance_names_what_it_needs():
    with pytest.raises(TypeError, match="BalancedLoader"):
        hetlib.balance(torch.ones(1, requires_grad=True).sum(), [4, 4])
    with pytest.raises(TypeError, match="Models are no longer balanced, losses are"):
        hetlib.balance(nn.Linear(2, 2), hetlib.BalancedLoader(range(8), [4, 4], rank=0))


def test_an_overflow_on_one_replica_is_one_for_all(team):
    first, second = team(1, 1).run(workers.overflow)
    assert first == second
    scales, moved = zip(*first, strict=True)
    # replica 1 overflows in the third step
    assert moved == (True, True, False, True)
    assert scales[2] == scales[1] / 2


@pytest.mark.parametrize("factor", [0.5, torch.tensor(0.5), lambda: torch.tensor(0.5)])
def test_scaling_reaches_every_output(factor):
    x = torch.ones(3, requires_grad=True)
    outputs = {"a": x * 2, "b": [x * 3, 5]}
    loss = outputs["a"].sum() + outputs["b"][0].sum()
    before = loss.item()
    assert weigh(loss, factor) is loss
    loss.backward()
    assert loss.item() == before
    assert x.grad.tolist() == [2.5] * 3


def test_the_gradient_of_each_sample_has_its_own_factor():
    x = torch.ones(3, requires_grad=True)
    weigh(x * 2, torch.tensor([1.0, 0.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [2.0, 0.0, 6.0]


def test_a_loss_is_weighted_once_each_time_it_is_passed_backward():
    x = torch.ones(3, requires_grad=True)
    loader = hetlib.BalancedLoader(range(8), [6, 2], rank=0)
    next(iter(loader))
    first = hetlib.balance(x.mean(), loader)
    second = hetlib.balance((x * x).mean(), loader)
    first.backward(retain_graph=True)
    first.backward()
    second.backward()
    # two replicas, six of eight samples
    assert torch.allclose(x.grad, torch.full((3,), 1.5 * (1 + 1 + 2) / 3))


@pytest.mark.parametrize(
    "change",
    [
        torch.sqrt,
        torch.log,
        torch.nan_to_num,
        torch.unbind,
        partial(torch.pow, exponent=2.0),
        partial(torch.clamp, max=9.0),
        partial(torch.maximum, other=torch.zeros(2)),
        partial(torch.where, torch.tensor(True), other=torch.zeros(2)),
    ],
)
def test_a_loss_that_was_bounded_or_curved_is_not_weighted_twice(change):
    losses = torch.ones(2, requires_grad=True) * 2
    changed = change(hetlib.balance(losses, count=3))
    again = changed[0] if isinstance(changed, tuple) else changed
    with pytest.raises(RuntimeError, match="was balanced before"):
        hetlib.balance(again, count=3)


def test_losses_that_one_operation_returns_are_weighted_each():
    first, second = (torch.ones(2, requires_grad=True) * 2).unbind()
    hetlib.balance(first, count=3)
    hetlib.balance(second, count=3)
    with pytest.raises(RuntimeError, match="was balanced before"):
        hetlib.balance(first + second, count=3)


def test_a_count_of_nothing_gives_nothing_and_its_nan_is_named():
    x = torch.ones(3, requires_grad=True)
    hetlib.balance(F.cross_entropy(x[None], torch.tensor([-100])), count=0).backward()
    assert x.grad.tolist() == [0.0] * 3
    own = (x * 0).sum() / torch.zeros(())
    with pytest.raises(RuntimeError, match="the count of this replica is 0 and its loss divides"):
        hetlib.balance(own, count=0).backward()


def test_a_mean_loss_over_no_samples_gives_no_gradient():
    model = plain_workers.make_model(0)
    images, labels = plain_workers.make_data(4, 0)
    F.cross_entropy(model(images[:0]), labels[:0]).backward()
    assert plain_workers.flat_gradient(model).abs().max() == 0


@pytest.mark.parametrize("count", [16777217.0, 0.1, 2**53])
def test_a_count_is_not_rounded(count):
    assert float(hetlib.announce(count).own) == count
