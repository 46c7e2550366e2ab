"""Every situation of real training, in real processes, against one process in float64."""

import re

import pytest

import hetlib
from tests.balanced import workers


@pytest.fixture(scope="module")
def trio():
    with hetlib.Replicas(hetlib.Platform.emulated([1] * 3), timeout=60) as replicas:
        yield replicas


@pytest.mark.parametrize("name", workers.SITUATIONS)
def test_equals_one_process(trio, name):
    situation = workers.SITUATIONS[name]
    by_rank = trio.run(workers.replicas_make, situation)
    expected = workers.one_process(situation)
    assert len(expected) > 1
    for found in zip(*by_rank, strict=True):
        assert all(found[0].equal(other) for other in found[1:])
    for found, reference in zip(by_rank[0], expected, strict=True):
        assert (found - reference).norm() / reference.norm() < situation.tolerance


@pytest.fixture(scope="module")
def messages():
    with hetlib.Replicas(hetlib.Platform.emulated([1] * 2), timeout=60) as replicas:
        by_rank = replicas.run(workers.mistakes)
        shapes, scales = replicas.run(workers.loaded_batches), replicas.run(workers.overflow)
    assert by_rank[0].keys() == by_rank[1].keys()
    return by_rank, shapes, scales


@pytest.mark.parametrize(
    ("mistake", "words"),
    {
        "batchnorm": "hetlib.convert_batchnorm",
        "hook": "a hook of DDP or of a weight",
        "drift": "weights differ in 1 of 6 tensors, e.g. .*second.bias",
        "dropout": "ValueError: `check` cannot repeat layers that draw at random: .*'1'",
        "part": "RuntimeError: replica . got a batch of .*are left to process",
        "unannounced": r"call `announce\(model, count\)` before it",
        "announced twice": "announced passes were not made",
        "needs no count": "TypeError: `model` takes no counts",
        "replicas": "ValueError: `sampler` deals to 3 replicas, but the model has 2",
        "reduction": "ValueError: `reduction` is 'average'; allowed",
        "passes": "ValueError: `passes` is 0",
        "evaluation": "RuntimeError: a backward pass through outputs of a model in evaluation mode",
        "outputs": "TypeError: the model returned a partial without a tensor",
    }.items(),
)
def test_a_mistake_is_named_on_every_replica(messages, mistake, words):
    for found in messages[0]:
        assert re.search(words, found[mistake]), found[mistake]


def test_a_right_job_passes_its_checks(messages):
    assert [found["no drift"] for found in messages[0]] == ["", ""]


def test_a_replica_without_samples_loads_empty_batches(messages):
    b, size = workers.BANDS, workers.SIZE
    full, empty = [(n, b, size, size, n) for n in (6, 6, 4)], [(0, b, size, size, 0)] * 3
    assert messages[1] == [full, empty]


def test_an_overflow_on_one_replica_is_one_for_all(messages):
    first, second = messages[2]
    assert first == second
    scales, moved = zip(*first, strict=True)
    assert moved == (True, True, False, True)  # replica 1 overflows in the third step
    assert scales[2] == scales[1] / 2
