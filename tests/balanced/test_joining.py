"""Replicas that run out of batches at different times train what one process does."""

import pytest

from tests.balanced import workers_joining


@pytest.mark.parametrize(
    "sizes",
    [
        ((5, 3, 4), (2, 6)),
        # the first replica ends first
        ((4,), (3, 1, 2), (5, 2)),
        # one has nothing at all, and one an empty batch
        ((3, 4), (), (2, 0, 6)),
        ((3, 2), (5, 1)),
    ],
)
def test_unequal_numbers_of_batches_are_those_of_one_process(team, sizes):
    expected = workers_joining.alone(sizes)
    by_rank = team(*[1] * len(sizes)).run(workers_joining.joined, sizes)
    for found in by_rank:
        assert found.equal(by_rank[0])
        assert (found - expected).norm() / expected.norm() < 1e-12


def test_a_group_of_some_replicas_sums_its_own_counts(team):
    by_rank = team(1, 1, 1).run(workers_joining.one_group)
    assert [float(total) for total in by_rank] == [3, 3, 3]


def test_what_would_wait_for_a_replica_that_is_gone_is_refused_on_every_replica(team):
    for found in team(1, 1).run(workers_joining.refusals):
        assert "stand first: with Join([counts, model])" in found["not joined"]
        assert "stand first" in found["not first"]
        assert "counts = hetlib.JoinedCounts()" in found["plain count"]
        assert "throw_on_early_termination=True" in found["batchnorm"]
        assert "exhausted" in found["batchnorm, ended early"]
