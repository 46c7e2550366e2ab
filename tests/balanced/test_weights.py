"""The balanced gradient of P processes is the gradient of one process on the whole batch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import hetlib
from hetlib.balanced.weights import LR_RULES, effective_batch, noise_scale, replica_weights
from hetlib.balanced.wrapper import scale_gradient
from hetlib.training.experiment import Experiment
from hetlib.training.strategies import learning_rate
from tests import workers


def relative_error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def random_shares(replicas: int, rng: np.random.Generator) -> tuple[int, ...]:
    while True:
        shares = tuple(int(n) for n in rng.integers(0, 12, replicas) * (rng.random(replicas) < 0.8))
        if sum(shares):
            return shares


@pytest.mark.parametrize("replicas", [1, 2, 3, 4])
def test_equals_one_process_for_any_shares(replicas):
    rng = np.random.default_rng(replicas)
    cases = [
        (int(rng.integers(8, 40)), random_shares(replicas, rng), seed, True) for seed in range(5)
    ]
    if replicas > 1:
        # an empty share, one sample, a last step of 6
        cases.append((13, (6, *[0] * (replicas - 2), 1), 5, True))
        cases.append((9, (3,) * replicas, 6, True))  # equal shares, a last step smaller than them
        # what DDP makes of it
        cases.append((8, (7 - replicas + 2, *[1] * (replicas - 1)), 7, False))
    with hetlib.Replicas(hetlib.Platform.emulated([1] * replicas)) as pool:
        by_rank = pool.run(workers.reduced_gradients, cases)
    for case, *steps in zip(cases, *by_rank, strict=True):
        samples, shares, seed, balanced = case
        expected = workers.whole_batch_gradients(samples, shares, seed)
        for found in steps:
            assert len(found) == len(expected)
            for ours, reference in zip(found, expected, strict=True):
                if balanced:
                    assert relative_error(ours, reference) < 1e-12, case
        if not balanced:
            assert relative_error(steps[0][0], expected[0]) > 0.01
        for other in steps[1:]:
            assert all(np.array_equal(a, b) for a, b in zip(steps[0], other, strict=True))


def test_batches_that_were_not_dealt_are_refused_and_evaluation_is_free():
    with hetlib.Replicas(hetlib.Platform.emulated([1, 1])) as pool:
        messages = pool.run(workers.misuse_of_balance)
        left = pool.run(workers.evaluation_leaves_the_count_alone)
    assert "got a batch of 16, but the sampler dealt no step" in messages[0]
    assert "batch_sampler=sampler" in messages[1]
    assert left == [0, 0]


def test_balance_names_what_it_needs():
    with pytest.raises(TypeError, match="BalancedSampler"):
        hetlib.balance(nn.Linear(2, 2), [4, 4])
    with pytest.raises(TypeError, match="DistributedDataParallel"):
        hetlib.balance(nn.Linear(2, 2), hetlib.BalancedSampler(8, [4, 4], rank=0))


def test_weights():
    assert replica_weights([6, 2], "samples").tolist() == [0.75, 0.25]
    assert replica_weights([6, 2], "mean").tolist() == [0.5, 0.5]
    assert replica_weights([6, 2], "speed", [1, 4]).tolist() == [0.2, 0.8]
    with pytest.raises(ValueError, match="weighting"):
        replica_weights([6, 2], "size")
    with pytest.raises(ValueError, match="speeds"):
        replica_weights([6, 2], "speed", [1])


def test_effective_batch_against_monte_carlo():
    assert effective_batch([224, 32]) == pytest.approx(112)
    assert effective_batch([240, 16]) == pytest.approx(60)
    assert effective_batch([100, 100, 100, 4]) == pytest.approx(57.1, abs=0.1)
    assert effective_batch([90, 38], replica_weights([90, 38], "samples")) == pytest.approx(128)
    rng = np.random.default_rng(0)
    means = [rng.normal(size=(20000, n)).mean(1) for n in (30, 9, 3)]
    assert 1 / np.var(np.mean(means, axis=0)) == pytest.approx(
        effective_batch([30, 9, 3]), rel=0.05
    )


@pytest.mark.parametrize("counts", [(240, 16), (90, 26, 9, 3), (64, 64), (100, 0, 28)])
def test_noise_scale_is_unbiased_under_any_shares(counts):
    rng = np.random.default_rng(1)
    draws, size, true, trace = 4000, 20, 0.5, 50.0
    gradient = np.full(size, np.sqrt(true / size))
    used = np.array([n for n in counts if n])
    means = (
        gradient + rng.normal(size=(draws, len(used), size)) * np.sqrt(trace / size / used)[:, None]
    )
    reduced = np.square(np.einsum("r,drs->ds", used / used.sum(), means)).sum(1)
    local = np.full((draws, len(counts)), np.nan)  # a replica without samples has no gradient
    local[:, np.array(counts) > 0] = np.square(means).sum(2)
    found = [noise_scale(counts, norms, t) for norms, t in zip(local, reduced, strict=True)]
    assert np.mean([gradient for gradient, _ in found]) == pytest.approx(true, rel=0.1)
    assert np.mean([noise for _, noise in found]) == pytest.approx(trace, rel=0.1)
    unweighted = np.nanmean(local, axis=1)  # what equal shares would use
    assert counts == (64, 64) or abs(np.mean(2 * reduced - unweighted) - true) > 0.1


def test_noise_scale_needs_two_replicas():
    # one step alone can be off by more than its value
    assert noise_scale([4, 4], [3.0, 3.0], 1.0) == (-1.0, 16.0)
    with pytest.raises(ValueError, match="at least two"):
        noise_scale([8, 0], [1.0, 1.0], 1.0)


def test_learning_rate_rules():
    assert LR_RULES["linear"](0.25) == 0.25
    assert LR_RULES["sqrt"](0.25) == 0.5
    shares = [24, 8]  # effective batch 24 of 32
    for optimizer, expected in (("SGD", 0.75), ("Adam", 0.75**0.5)):
        experiment = Experiment(
            strategy="uneven-plain-retuned", global_batch=32, optimizer=optimizer, lr=1.0
        )
        assert learning_rate(experiment, shares) == pytest.approx(expected)


def test_scaling_reaches_every_output():
    x = torch.ones(3, requires_grad=True)
    outputs = scale_gradient({"a": x * 2, "b": [x * 3, 5]}, 0.5)
    (outputs["a"].sum() + outputs["b"][0].sum()).backward()
    assert x.grad.tolist() == [2.5] * 3
    assert outputs["a"].tolist() == [2.0] * 3


def test_a_mean_loss_over_no_samples_gives_no_gradient():
    model = workers.make_model(0)
    images, labels = workers.make_data(4, 0)
    F.cross_entropy(model(images[:0]), labels[:0]).backward()
    assert workers.flat_gradient(model).abs().max() == 0
