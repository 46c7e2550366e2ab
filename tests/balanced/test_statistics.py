"""Batch statistics keep their digits, and pooled ones are those of all samples."""

import numpy as np
import pytest
import torch
from torch import nn

import hetlib
from tests.balanced import workers_statistics as workers
from tests.balanced.workers_batchnorm import relative_error


@pytest.fixture
def pool(team):
    return team(1, 1, 1)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_keeps_wide_statistics(pool, dtype):
    shares = [40, 3, 9]
    ranks = pool.run(workers.half_precision, dtype, shares)
    x = workers.make_wide(sum(shares)).to(getattr(torch, dtype))
    reference = nn.BatchNorm2d(4, dtype=torch.float64)
    y = reference(x.double())
    outputs = np.concatenate([rank.outputs for rank in ranks])
    first = ranks[0]
    assert relative_error(outputs, y.detach().numpy()) < 0.01
    assert relative_error(first.mean, reference.running_mean.numpy()) < 1e-6
    assert relative_error(first.variance, reference.running_var.numpy()) < 1e-6


def torchs_layer(whole, mean, dtype):
    """Return what torch's layer makes of a whole batch."""
    layer = nn.BatchNorm2d(4, dtype=dtype)
    x = whole.detach().to(dtype).requires_grad_()
    y = layer(x)
    (y * torch.sin(whole - mean)).sum().backward()
    return workers.passed(layer, x, y)


@pytest.mark.parametrize("mean", [0.0, 1e2, 1e4])
def test_large_means_in_float32_stay_near_torch(pool, mean):
    shares = [40, 0, 9]
    ranks = pool.run(workers.large_mean, shares, mean)
    whole = workers.make_wide(sum(shares), mean)
    exact = torchs_layer(whole, mean, torch.float64)
    torchs = torchs_layer(whole, mean, torch.float32)
    ours = ranks[0]._replace(
        outputs=np.concatenate([rank.outputs for rank in ranks]),
        gradient=np.concatenate([rank.gradient for rank in ranks]),
    )
    for name, mine, plain, right in zip(exact._fields, ours, torchs, exact, strict=True):
        own = relative_error(mine, right)
        torchs_own = relative_error(plain, right)
        assert own <= 10 * torchs_own + 1e-5, (name, own, torchs_own)


def test_one_value_per_channel_in_all_is_refused_on_every_rank(pool):
    for message in pool.run(workers.one_value):
        assert "got 1 value a channel" in message


@pytest.mark.parametrize(
    "weights",
    [
        [1.0, 1.0, 1.0],
        [90.0, 30.0, 8.0],
        [5.0, 0.0, 1.0],
    ],
)
def test_pooled_running_statistics_have_the_total_variance(pool, weights):
    ranks = pool.run(workers.pool, weights)
    w = np.asarray(weights)[:, None] / sum(weights)
    assert [rank.collectives for rank in ranks] == [1, 1, 1]
    for layer in range(2):  # those that track them
        means = np.stack([rank.before[layer].mean for rank in ranks])
        variances = np.stack([rank.before[layer].variance for rank in ranks])
        mean = (w * means).sum(0)
        mean_square = (w * (variances + means**2)).sum(0)
        var = mean_square - mean**2
        assert np.ptp(means, axis=0).max() > 0.1  # the replicas saw different data
        for rank in ranks:
            pooled = rank.after[layer]
            assert relative_error(pooled.mean, mean) < 1e-12
            assert relative_error(pooled.variance, var) < 1e-12
            assert np.array_equal(pooled.mean, ranks[0].after[layer].mean)


def test_bad_weights_are_refused_on_every_rank(pool):
    for messages in pool.run(workers.bad_weights):
        assert len(messages) == 3
        assert "`samples` by rank is [1.0, -1.0, 1.0]" in messages[0]


@pytest.mark.parametrize("weight", ["6", None, True, [1.0], 1j])
def test_a_weight_of_one_replica_that_is_no_number_is_refused_on_every_rank(pool, weight):
    first, second, third = pool.run(workers.one_bad_weight, weight)
    assert "`samples` is " in second
    assert "finite number >= 0" in second
    assert "`samples` by rank is [1.0, nan, 1.0]" in first
    assert first == third


def test_a_weight_is_checked_where_nothing_is_pooled():
    for weight in ("6", -1, float("nan")):
        with pytest.raises(ValueError, match=r"`samples` is .*a finite number >= 0"):
            hetlib.pool_batchnorm(nn.BatchNorm1d(3), samples=weight)


def test_lazy_layers_have_nothing_to_pool():
    with pytest.raises(ValueError, match=r"`model` has lazy BatchNorm layers.*run a batch"):
        hetlib.pool_batchnorm(nn.LazyBatchNorm1d())
