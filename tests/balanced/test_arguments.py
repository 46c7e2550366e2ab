"""A network and a group of replicas are asked for by name, before anything is done with them."""

import pytest
import torch
from torch import nn

import hetlib
from tests.balanced import workers_arguments

MODELS = [None, 3, "model", nn.Linear, [], torch.ones(2)]


@pytest.mark.parametrize("given", MODELS)
def test_what_is_no_model_is_refused_by_name(given):
    calls = [
        lambda: hetlib.check_weights(given),
        lambda: hetlib.check_gradient(given, nn.functional.mse_loss, None, count=1),
        lambda: hetlib.convert_batchnorm(given),
        lambda: hetlib.pool_batchnorm(given),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"`model` is .*; it must be a torch\.nn\.Module"):
            call()


def test_what_is_no_group_is_refused_by_name_on_every_replica(team):
    for messages in team(1, 1).run(workers_arguments.with_wrong_groups):
        for call, message in messages.items():
            assert "group` is " in message, call
            assert "it must be None or a process group" in message, call


def test_a_process_outside_of_a_group_is_told_so(team):
    inside, outside = team(1, 1).run(workers_arguments.in_a_group_of_rank_0)
    assert set(inside.values()) == {""}
    for call, message in outside.items():
        assert "group` is a process group without this process" in message, call


def test_a_check_is_told_what_it_computes_and_allows():
    network = nn.Linear(2, 1)
    network(torch.ones(3, 2)).mean().backward()

    def loss_of(model, batch):
        return model(batch).mean()

    with pytest.raises(ValueError, match=r"`loss_of` is 3; it must be a function"):
        hetlib.check_gradient(network, 3, torch.ones(3, 2), count=3)
    for tolerance in (float("nan"), -1, "small", True):
        with pytest.raises(ValueError, match=r"`tolerance` is .*finite number >= 0"):
            hetlib.check_gradient(network, loss_of, torch.ones(3, 2), count=3, tolerance=tolerance)
    hetlib.check_gradient(network, loss_of, torch.ones(3, 2), count=3, tolerance=1e-9)
