r"""The noise of drawn gradients: the effective batch of uneven shares, and the noise scale.

Gradients are those of the last layer, sample by sample, so that any step can be drawn and combined
without a network: a step that picks samples i with weights w_i has the gradient
:math:`\sum_i w_i g_i`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from hetlib.balanced.weights import effective_batch, noise_scale, replica_weights
from hetlib.datasets import ImageDataset
from hetlib.training.strategies import STRATEGIES

SAMPLES = 1000  # images whose gradients are drawn from, at most
PARTS = (2, 4, 8, 32)  # of the batch, which the slower of two replicas takes
NORMS = ["squared gradient", "variance of one sample"]


def sample_gradients(
    network: nn.Sequential, data: ImageDataset, rng: np.random.Generator
) -> torch.Tensor:
    """Return the gradients of the last layer's weights, sample by sample.

    Args:
        network: In float64; its last layer is a linear one.
        data: At most `SAMPLES` of it are drawn, none twice.
        rng: Draws them.

    Returns:
        (samples, weights) float64.
    """
    count = min(len(data), SAMPLES)
    drawn = rng.choice(len(data), count, replace=False)
    images, labels = data.gather(drawn)
    with torch.no_grad():
        features = network[:-1](images.double())  # (samples, features)
        likely = torch.softmax(network[-1](features), 1)
        error = likely - F.one_hot(labels, len(data.classes))  # (samples, classes)
        products = torch.einsum("nc,nf->ncf", error, features)
    return products.flatten(1)


def drawn_steps(
    gradients: torch.Tensor,
    weights: torch.Tensor,
    draws: int,
    rng: np.random.Generator,
) -> torch.Tensor:
    """Return the gradients of steps whose samples are drawn independently.

    Args:
        gradients: Of single samples, (samples, weights of the layer).
        weights: What each sample of a step counts, (samples of a step,).
        draws: Number of steps.
        rng: Draws the samples.

    Returns:
        (draws, weights of the layer).
    """
    size = (draws, len(weights))
    picks = torch.from_numpy(rng.integers(len(gradients), size=size))
    counted = torch.zeros(draws, len(gradients), dtype=gradients.dtype)
    counted.scatter_add_(1, picks, weights.expand(draws, -1))
    return counted @ gradients


def effective_batches(
    gradients: torch.Tensor,
    batch: int,
    draws: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Compare the effective batch of two replicas by formula with that of drawn steps.

    Args:
        gradients: Of single samples, (samples, weights of the layer).
        batch: Samples of a step, of which the slower replica takes one of `PARTS`.
        draws: Steps of each point.
        rng: Draws their samples.

    Returns:
        One row a share and strategy: ``share`` of the slower replica, ``strategy``, and the
        effective batch in samples by ``formula`` and as drawn, ``effective``.
    """
    centred = gradients - gradients.mean(0)
    rows = []
    for part in PARTS:
        small = max(batch // part, 1)
        pair = [batch - small, small]
        for name in ("balanced", "uneven-plain"):
            weights = replica_weights(pair, STRATEGIES[name].weighting)
            row = {
                "share": small,
                "strategy": name,
                "formula": effective_batch(pair, weights),
                "effective": _drawn_batch(centred, pair, weights, draws, rng),
            }
            rows.append(row)
    return pd.DataFrame(rows)


def _drawn_batch(
    centred: torch.Tensor,
    shares: Sequence[int],
    weights: np.ndarray,
    draws: int,
    rng: np.random.Generator,
) -> float:
    """Return the effective batch of drawn steps: the variance of one sample over that of a step."""
    each = np.repeat(weights / np.asarray(shares), shares)  # (samples of a step,)
    steps = drawn_steps(centred, torch.from_numpy(each), draws, rng)
    one = centred.square().sum(1).mean()
    whole = steps.square().sum(1).mean()
    return float(one / whole)


def noise_table(
    gradients: torch.Tensor,
    shares: Sequence[int],
    draws: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Estimate the noise scale from the norms of drawn steps, and beside it from all samples.

    Args:
        gradients: Of single samples, not centred: the true gradient is their mean.
        shares: Samples of each replica in a step.
        draws: Number of steps.
        rng: Draws their samples.

    Returns:
        One row a way: ``norms`` (exact, weighted by samples, or unweighted),
        ``squared gradient`` and ``variance of one sample``.
    """
    norms = _squared_norms(gradients, shares, draws, rng)
    by_step = zip(norms.local.T, norms.total, strict=True)
    weighted = [noise_scale(shares, local, total) for local, total in by_step]
    estimates = {
        "exact, all samples": _exact(gradients),
        "weighted by samples": tuple(np.mean(weighted, axis=0)),
        "unweighted": _unweighted(norms, sum(shares)),
    }
    table = pd.DataFrame(estimates.values(), columns=NORMS)
    return table.assign(norms=list(estimates))[["norms", *NORMS]]


class _Norms(NamedTuple):
    """Squared norms of the gradients of drawn steps.

    Attributes:
        local: Those of the replicas, (replicas, draws).
        total: That of the combined gradient, (draws,).
    """

    local: np.ndarray
    total: np.ndarray


def _squared_norms(
    gradients: torch.Tensor,
    shares: Sequence[int],
    draws: int,
    rng: np.random.Generator,
) -> _Norms:
    """Return the norms of steps in which each replica draws its share, all samples alike."""
    dtype = gradients.dtype
    parts = []
    for share in shares:
        alike = torch.full((share,), 1 / share, dtype=dtype)
        parts.append(drawn_steps(gradients, alike, draws, rng))
    means = torch.stack(parts)  # (replicas, draws, weights of the layer)
    weights = torch.tensor(shares, dtype=dtype) / sum(shares)
    combined = torch.einsum("r,rdw->dw", weights, means)
    local = means.square().sum(2)
    total = combined.square().sum(1)
    return _Norms(local.numpy(), total.numpy())


def _exact(gradients: torch.Tensor) -> tuple[float, float]:
    """Return squared gradient and variance of one sample as all samples have them."""
    truth = gradients.mean(0)
    variance = (gradients - truth).square().sum(1).mean()
    return truth.square().sum().item(), variance.item()


def _unweighted(norms: _Norms, batch: int) -> tuple[float, float]:
    """Return the same from drawn norms, as if the shares were equal."""
    replicas = len(norms.local)
    plain = norms.local.mean(0)
    squared = (replicas * norms.total - plain).mean() / (replicas - 1)
    variance = batch * (plain - norms.total).mean() / (replicas - 1)
    return squared, variance
