"""Replicas that always draw from their own part of the data: where the plain mean then ends."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from hetlib.datasets import ImageDataset, LandCoverScene

AT_ONCE = 256  # images that go through the network together
RANDOM_CUTS = 4  # as many as there are by location


class Features(NamedTuple):
    """What a softmax regression learns from and is scored on.

    Attributes:
        train: (samples, features) of the training split, standardised.
        labels: (samples,) class numbers.
        test: (samples, features) of the test split, standardised by the training split.
        truth: (samples,) class numbers.
    """

    train: torch.Tensor
    labels: torch.Tensor
    test: torch.Tensor
    truth: torch.Tensor


def assign_shards(order: np.ndarray, shares: Sequence[int]) -> np.ndarray:
    """Return the replica that owns each sample.

    Args:
        order: Of the samples, (n,); shards are runs of it.
        shares: Of the replicas; the shards are in proportion to them.

    Returns:
        Ranks, (n,).
    """
    parts = np.cumsum(shares) / sum(shares)
    ends = np.rint(parts * len(order)).astype(int)
    sizes = np.diff(ends, prepend=0)
    owner = np.empty(len(order), dtype=int)
    owner[order] = np.repeat(np.arange(len(shares)), sizes)
    return owner


def sample_weights(owner: np.ndarray, weighting: str) -> torch.Tensor:
    """Return what each sample counts in the expected gradient, (n,) with the sum 1.

    Args:
        owner: The replica of each sample, (n,).
        weighting: ``"mean"``: 1 / (P N_r), the plain mean over replicas with shards of N_r samples.
            ``"samples"``: 1 / N.
    """
    sizes = np.bincount(owner)
    weights = {
        "mean": 1 / (len(sizes) * sizes),
        "samples": np.full(len(sizes), 1 / len(owner)),
    }
    return torch.from_numpy(weights[weighting][owner])


def optimum(
    features: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    decay: float = 1e-3,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the softmax regression that weighted training ends at.

    Args:
        features: (n, features) float64.
        labels: (n,) class numbers.
        weights: (n,) of the samples.
        decay: L2 penalty, which makes the optimum unique.

    Returns:
        Weights (features, classes) and bias (classes,).
    """
    classes = int(labels.max()) + 1
    slope = _zeros(features.shape[1], classes)
    intercept = _zeros(classes)
    solver = torch.optim.LBFGS(
        [slope, intercept],
        max_iter=100,
        line_search_fn="strong_wolfe",
    )

    def loss() -> torch.Tensor:
        solver.zero_grad()
        outputs = features @ slope + intercept
        each = F.cross_entropy(outputs, labels, reduction="none")
        penalty = decay * slope.square().sum()
        value = (each * weights).sum() + penalty
        value.backward()
        return value

    solver.step(loss)
    return slope.detach(), intercept.detach()


def _zeros(*shape: int) -> torch.Tensor:
    """Return parameters to begin with."""
    return torch.zeros(shape, dtype=torch.float64, requires_grad=True)


def trained_features(
    network: nn.Sequential,
    weights: Mapping[str, np.ndarray],
    data: ImageDataset,
    held_out: ImageDataset,
) -> Features:
    """Return what a trained network's layers before the last make of both splits.

    Args:
        network: In float64; it has the trained weights afterwards.
        weights: By name, as a training leaves them.
        data: The training split.
        held_out: The test split.
    """
    network.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights})
    features = _before_last(network, data)
    tested = _before_last(network, held_out)
    centre = features.mean(0)
    spread = features.std(0) + 1e-6
    return Features(
        (features - centre) / spread,
        torch.as_tensor(np.asarray(data.labels)),
        (tested - centre) / spread,
        torch.as_tensor(np.asarray(held_out.labels)),
    )


def _before_last(network: nn.Sequential, data: ImageDataset) -> torch.Tensor:
    """Return what the last layer sees of a whole split, (samples, features)."""
    images, _ = data.gather(np.arange(len(data)))
    body = network[:-1]
    with torch.no_grad():
        parts = [body(part.double()) for part in images.split(AT_ONCE)]
    return torch.cat(parts)


class Cut(NamedTuple):
    """A way to cut a data set into shards.

    Attributes:
        kind: "by location" or "at random".
        order: Of the samples, (n,); shards are runs of it.
    """

    kind: str
    order: np.ndarray


def cuts(data: LandCoverScene, rng: np.random.Generator) -> list[Cut]:
    """Return cuts by location, from each side of the scene, and as many at random.

    Args:
        data: What is cut.
        rng: Draws the random ones.
    """
    row, column = data.centres.T
    found = []
    for key in (column, -column, row, -row):
        found.append(Cut("by location", np.argsort(key, kind="stable")))
    for _ in range(RANDOM_CUTS):
        found.append(Cut("at random", rng.permutation(len(data))))
    return found


def optima(
    features: Features,
    found: Sequence[Cut],
    shares: Sequence[int],
) -> pd.DataFrame:
    """Score the optima of expected gradients over fixed shards.

    Args:
        features: To learn from and to score on.
        found: From `cuts`.
        shares: Samples of each replica in a step, and in this proportion of the shards.

    Returns:
        One row a cut and strategy: ``shards``, ``strategy``, and the test ``OA``, a fraction.
    """
    one_owner = np.zeros(len(features.labels), int)
    alike = sample_weights(one_owner, "samples")  # balanced: whoever has a sample
    best = _accuracy(features, alike)
    rows = []
    for kind, order in found:
        owner = assign_shards(order, shares)
        plain = _accuracy(features, sample_weights(owner, "mean"))
        rows.append({"shards": kind, "strategy": "balanced", "OA": best})
        rows.append({"shards": kind, "strategy": "uneven-plain", "OA": plain})
    return pd.DataFrame(rows)


def _accuracy(features: Features, weights: torch.Tensor) -> float:
    """Return the test OA of the softmax regression that samples of these weights lead to."""
    slope, intercept = optimum(features.train, features.labels, weights)
    predicted = (features.test @ slope + intercept).argmax(1)
    return (predicted == features.truth).double().mean().item()
