"""A job's checks of itself find what is wrong, and say so on every replica."""

import re

import pytest

from hetlib.balanced import checks
from tests.balanced import workers_checks, workers_mistakes


@pytest.fixture(scope="module")
def messages(team):
    by_rank = team(1, 1).run(workers_mistakes.mistakes_that_checks_find)
    assert by_rank[0].keys() == by_rank[1].keys()
    return by_rank


@pytest.mark.parametrize(
    ("mistake", "words"),
    {
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
    assert [found["no own batchnorm"] for found in messages] == ["", ""]


def test_jobs_with_batchnorm_of_each_replica_are_accepted_with_a_warning(team):
    first, second = team(1, 1).run(workers_checks.right)
    assert first.keys() == second.keys()
    # rank 0 compares, but where all compute together
    for found in (first, second):
        assert {message for message, *_ in found.values()} == {""}
    warned = {name for name, (_, *warnings) in first.items() if warnings}
    assert warned == first.keys() - {"frozen", "over all"}
    assert "BatchNorm layers ['1'] see one replica's samples" in first["each its own"][1]
    assert "BatchNorm layers ['2']" in first["half of them over all"][1]


def test_jobs_of_several_precisions_and_with_ranks_of_their_own_are_accepted(team):
    for found in team(1, 1).run(workers_checks.right_in_other_ways):
        assert set(found.values()) == {""}, found


def test_sums_of_replicas_without_samples_are_accepted(team):
    for found in team(1, 1).run(workers_checks.right_sums):
        assert found == {"sample": "", "rows": ""}


def test_a_wrong_job_with_batchnorm_is_refused(team):
    for found in team(1, 1).run(workers_checks.wrong):
        assert "It is the plain mean over the replicas" in found["plain mean"][0]
        assert "`loss_of` takes the parts that the step took" in found["not in parts"][0]


def test_a_job_that_cannot_be_repeated_is_said_to_be_so(team):
    for found in team(1, 1).run(workers_checks.unrepeatable):
        for name, (message, *_) in found.items():
            assert "a second pass of the same batch gives another gradient" in message, name


def test_sharded_weights_are_refused_on_every_replica(team):
    for message in team(1, 1).run(workers_checks.sharded):
        assert "sharded over the replicas (FSDP2)" in message


def test_the_check_leaves_random_numbers_as_they_were(team):
    assert team(1, 1).run(workers_checks.random_numbers_go_on) == [True, True]


def test_weights_of_any_type_are_compared_to_the_bit(team):
    for found in team(1, 1).run(workers_mistakes.differing_weights):
        # equal, and a tensor without a number
        for name in ("", "nothing"):
            assert found.pop(name) == ""
        assert len(found) == 13
        for name, message in found.items():
            assert "weights differ in 1 of" in message, name


def test_devices_of_different_kinds_are_a_reason_for_differing_weights(messages):
    assert checks._rounding([["cpu"], ["cpu"]]) == ""
    assert checks._rounding([["cuda"], ["cuda"], ["cuda"]]) == ""
    assert "compare before the first step" in checks._rounding([["cuda"], ["cpu"]])
    assert "before the first step" not in messages[0]["drift"]


def test_models_without_weights_and_weights_of_any_layout_are_compared(team):
    for found in team(1, 1).run(workers_mistakes.weights_of_all_kinds):
        for name in ("none", "conjugated", "negated", "sparse"):
            assert found[name] == "", name
        assert "weights differ in 1 of 1" in found["other sparse"]
        assert "0 tensors on rank 0, [0, 2] by rank" in found["none on one"]
        for name in ("lazy", "meta"):
            assert "ValueError: `model` has weights without values, e.g. 'weight'" in found[name]
