"""Loops that leave uneven shares unbalanced, or skip their empty batches, are told so."""

import warnings

import pytest
import torch
from torch import nn

import hetlib
from tests.balanced import workers_watching as workers


@pytest.fixture(scope="module")
def found(team):
    return team(1, 1).run(workers.by_loop, None)


@pytest.mark.parametrize("name", workers.FORGETFUL)
def test_uneven_shares_without_balance_are_told(found, name):
    for replica in found:
        messages = replica["forgetful"][name]
        assert len(messages) == (2 if name == "forgets twice" else 1)
        for message in messages:
            assert message.startswith("16 batches were read that are dealt as [6, 2], and no loss")
            assert "hetlib.balance(loss, loader)" in message


@pytest.mark.parametrize("name", workers.RIGHT)
def test_right_loops_hear_nothing(found, name):
    for replica in found:
        assert replica["right"][name] == []


@pytest.mark.parametrize("name", ["reads ahead", "balances"])
def test_nor_do_those_that_pass_an_empty_batch_through(found, name):
    for replica in found:
        assert replica["read ahead of an empty share"][name] == []


def test_equal_shares_need_no_balance(found):
    for replica in found:
        assert replica["equal"]["forgets"] == []


def test_nor_does_a_process_without_a_job():
    loader = hetlib.BalancedLoader(workers.data(), workers.UNEVEN, rank=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        workers.forgets(nn.Linear(1, 1).double(), loader)


def skips(loader):
    """Train on the batches that have samples; return what the loop is warned of."""
    model = nn.Linear(1, 1).double()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for (batch,) in loader:
            if len(batch):
                hetlib.balance(workers.mean_of(model, batch), loader, count=len(batch)).backward()
    return [str(warning.message) for warning in heard]


def test_a_last_batch_without_samples_that_is_skipped_is_told():
    loader = hetlib.BalancedLoader(workers.data(33), (7, 1), rank=1)
    (message,) = skips(loader)
    assert message.startswith("the loop goes on without balancing step 4 of epoch 0")
    assert "the others wait for this one" in message


def test_so_is_one_in_mid_epoch():
    loader = hetlib.BalancedLoader(workers.data(33), (7, 1), rank=1)
    loader.replan((8, 0), step=1)
    loader.replan((7, 1), step=2)
    (message,) = skips(loader)
    assert message.startswith("the loop goes on without balancing step 1 of epoch 0")


def test_other_batches_may_be_skipped():
    loader = hetlib.BalancedLoader(workers.data(33), (7, 1), rank=0)
    model = nn.Linear(1, 1).double()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step, (batch,) in enumerate(loader):
            if step != 2:
                loss = workers.mean_of(model, batch)
                hetlib.balance(loss, loader, count=len(batch)).backward()
    assert torch.isfinite(model.weight.grad).all()
