"""A job's checks of itself find what is wrong, and say so on every replica."""

import re

import pytest

from tests.balanced import workers_mistakes


@pytest.fixture(scope="module")
def messages(team):
    by_rank = team(1, 1).run(workers_mistakes.mistakes_that_checks_find)
    assert by_rank[0].keys() == by_rank[1].keys()
    return by_rank


@pytest.mark.parametrize(
    ("mistake", "words"),
    {
        "batchnorm": "hetlib.convert_batchnorm",
        "hook": "a hook of DDP or of a weight",
        "drift": "weights differ in 1 of 6 tensors, e.g. .*second.bias",
        "plain": "It is the plain mean over the replicas: balance the loss",
        "weighted twice": "The losses were weighted twice",
        "cannot be sent": "could not send `batch` to rank 0",
        "other model": r"models have other weights: 2 tensors on rank 0, \[2, 4\] by rank",
        "dropout": "ValueError: `check_gradient` cannot repeat layers .*: .*'norm'",
    }.items(),
)
def test_a_mistake_is_named_on_every_replica(messages, mistake, words):
    for found in messages:
        assert re.search(words, found[mistake]), found[mistake]


def test_a_right_job_passes_its_checks(messages):
    assert [found["no drift"] for found in messages] == ["", ""]


def test_weights_of_any_type_are_compared_to_the_bit(team):
    for found in team(1, 1).run(workers_mistakes.differing_weights):
        # equal, and a tensor without a number
        for name in ("", "nothing"):
            assert found.pop(name) == ""
        assert len(found) == 13
        for name, message in found.items():
            assert "weights differ in 1 of" in message, name
