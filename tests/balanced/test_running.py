"""Pooled running statistics are those of all samples, in any wrapper; and steps in parts."""

import pytest
import torch

from tests.balanced import workers_running as workers

THREE = (6, 2, 3)


def assert_equal(found, expected):
    for ours, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", workers.RIGHT)
def test_any_wrapper_that_sends_no_buffers_is_right(team, name):
    for found in team(1, 1, 1).run(workers.pooled, name, THREE):
        assert_equal(found, workers.expected(THREE))


@pytest.mark.parametrize("shares", [THREE, (5, 0, 2)])
@pytest.mark.parametrize("momentum", [None, 0.5])
def test_any_momentum_and_an_empty_share_are_right(team, shares, momentum):
    for found in team(1, 1, 1).run(workers.pooled, "not sent", shares, momentum):
        assert_equal(found, workers.expected(shares, momentum))


def test_buffers_that_were_sent_are_refused_on_every_replica(team):
    for found in team(1, 1).run(workers.refusals):
        assert list(found) == list(workers.REFUSED)
        for name, message in found.items():
            assert "sends rank 0's buffers" in message, name
            assert "broadcast_buffers" in message, name


def test_statistics_over_all_replicas_stay_as_they_are(team):
    for before, after in team(1, 1).run(workers.of_all_replicas):
        for kept, new in zip(before, after, strict=True):
            assert kept.equal(new)


def test_layers_of_several_groups_need_one_to_be_named(team):
    for message in team(1, 1).run(workers.of_two_groups):
        assert "several process groups" in message


@pytest.mark.parametrize(
    ("most", "shares"),
    [
        ((3, 8), (6, 2)),
        # a replica has nothing, and one takes two parts
        ((8, 2, 8), (3, 4, 0)),
        # each takes another number
        ((1, 2, 4), (4, 4, 4)),
    ],
)
def test_unequal_parts_under_batchnorm_over_all_are_refused_on_every_replica(team, most, shares):
    for message in team(*[1] * len(shares)).run(workers.in_unequal_parts, most, shares):
        assert "BatchNorm over all replicas (convert_batchnorm) is in the last pass" in message
        assert "hetlib.micro_batches(len(inputs), most, parts=passes)" in message


def test_unequal_parts_of_sharded_weights_are_refused_on_every_replica(team):
    for message in team(1, 1).run(workers.in_unequal_parts_sharded, (3, 8), (6, 2)):
        assert "BatchNorm over all replicas (convert_batchnorm) is in the last pass" in message


@pytest.mark.parametrize("shares", [(6, 2), (7, 0, 4), (2, 2, 2)])
def test_equal_parts_under_batchnorm_over_all_are_those_of_one_process(team, shares):
    expected = workers.gradient_of_one_process(shares, 3)
    for found in team(*[1] * len(shares)).run(workers.in_equal_parts, shares, 3):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
