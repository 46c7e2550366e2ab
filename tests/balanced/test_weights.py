"""Weights, effective batch and noise scale are what their formulas promise."""

import numpy as np
import pytest

from hetlib.balanced.weights import LR_RULES, effective_batch, noise_scale, replica_weights
from hetlib.training.strategies import learning_rate


def test_weights():
    counts = [6, 2]
    balanced = replica_weights(counts, "samples")
    plain = replica_weights(counts, "mean")
    by_speed = replica_weights(counts, "speed", [1, 4])
    assert balanced.tolist() == [0.75, 0.25]
    assert plain.tolist() == [0.5, 0.5]
    assert by_speed.tolist() == [0.2, 0.8]
    with pytest.raises(ValueError, match="weighting"):
        replica_weights(counts, "size")
    with pytest.raises(ValueError, match="speeds"):
        replica_weights(counts, "speed", [1])


def test_effective_batch_against_monte_carlo():
    assert effective_batch([224, 32]) == pytest.approx(112)
    assert effective_batch([240, 16]) == pytest.approx(60)
    nearly_idle = effective_batch([100, 100, 100, 4])
    assert nearly_idle == pytest.approx(57.1, abs=0.1)
    counts = [90, 38]
    balanced = effective_batch(counts, replica_weights(counts, "samples"))
    assert balanced == pytest.approx(128)

    counts = [30, 9, 3]
    rng = np.random.default_rng(0)
    means = [rng.normal(size=(20000, n)).mean(1) for n in counts]
    variance = np.var(np.mean(means, axis=0))
    assert 1 / variance == pytest.approx(effective_batch(counts), rel=0.05)


@pytest.mark.parametrize(
    "counts",
    [
        (240, 16),
        (90, 26, 9, 3),
        (64, 64),
        (100, 0, 28),
    ],
)
def test_noise_scale_is_unbiased_under_any_shares(counts):
    draws = 4000
    size = 20
    true = 0.5
    trace = 50.0
    rng = np.random.default_rng(1)
    gradient = np.full(size, np.sqrt(true / size))
    used = np.array([n for n in counts if n])
    deviation = np.sqrt(trace / size / used)
    noise = rng.normal(size=(draws, len(used), size))
    means = gradient + noise * deviation[:, None]
    balanced = np.einsum("r,drs->ds", used / used.sum(), means)
    reduced = np.square(balanced).sum(1)
    # a replica without samples has no gradient
    local = np.full((draws, len(counts)), np.nan)
    local[:, np.flatnonzero(counts)] = np.square(means).sum(2)

    squares = []
    traces = []
    for norms, norm in zip(local, reduced, strict=True):
        square, spread = noise_scale(counts, norms, norm)
        squares.append(square)
        traces.append(spread)
    assert np.mean(squares) == pytest.approx(true, rel=0.1)
    assert np.mean(traces) == pytest.approx(trace, rel=0.1)
    if counts != (64, 64):
        # what equal shares would use
        unweighted = np.nanmean(local, axis=1)
        assert abs(np.mean(2 * reduced - unweighted) - true) > 0.1


def test_noise_scale_needs_two_replicas():
    # one step alone can be off by more than its value
    assert noise_scale([4, 4], [3.0, 3.0], 1.0) == (-1.0, 16.0)
    with pytest.raises(ValueError, match="at least two"):
        noise_scale([8, 0], [1.0, 1.0], 1.0)


def test_learning_rate_rules():
    assert LR_RULES["linear"](0.25) == 0.25
    assert LR_RULES["sqrt"](0.25) == 0.5
    # effective batch 24 of 32
    shares = [24, 8]
    ratio = 0.75
    for optimizer, expected in (("SGD", ratio), ("Adam", ratio**0.5)):
        rate = learning_rate(
            strategy="uneven-plain-retuned",
            optimizer=optimizer,
            lr=1.0,
            global_batch=32,
            shares=shares,
        )
        assert rate == pytest.approx(expected)
