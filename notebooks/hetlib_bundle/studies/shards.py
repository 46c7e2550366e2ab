"""Replicas that always draw from their own part of the data: what the plain mean then converges to."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

import hetlib
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
    """Return the replica that owns each sample, (n,): runs of ``order`` in proportion to ``shares``."""
    ends = np.rint(np.cumsum(shares) / sum(shares) * len(order)).astype(int)
    owner = np.empty(len(order), dtype=int)
    owner[order] = np.repeat(np.arange(len(shares)), np.diff(ends, prepend=0))
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
    """Return the weights (features, classes) and bias of the softmax regression that weighted training ends at.

    Args:
        features: (n, features) float64.
        labels: (n,) class numbers.
        weights: (n,) of the samples.
        decay: L2 penalty, which makes the optimum unique.
    """
    classes = int(labels.max()) + 1
    slope = torch.zeros(features.shape[1], classes).double().requires_grad_()
    intercept = torch.zeros(classes).double().requires_grad_()
    solver = torch.optim.LBFGS([slope, intercept], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        each = F.cross_entropy(features @ slope + intercept, labels, reduction="none")
        value = (each * weights).sum() + decay * slope.square().sum()
        value.backward()
        return value

    solver.step(loss)
    return slope.detach(), intercept.detach()


def trained_features(
    network: nn.Sequential,
    experiment: hetlib.Experiment,
    data: ImageDataset,
    held_out: ImageDataset,
) -> Features:
    """Train a network shortly and return what its layers before the last make of both splits.

    Args:
        network: Of the experiment, in float64; it has the trained weights afterwards.
        experiment: The training, of one process.
        data: The training split.
        held_out: The test split.
    """
    alone = hetlib.VirtualReplicas(hetlib.Platform.emulated([1]))
    trained = hetlib.train(experiment, alone, keep_weights=True)
    weights = {name: torch.from_numpy(value) for name, value in trained.weights.items()}
    network.load_state_dict(weights)
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
    images = data.gather(np.arange(len(data)))[0]
    with torch.no_grad():
        parts = [network[:-1](part.double()) for part in images.split(AT_ONCE)]
    return torch.cat(parts)


def cuts(data: LandCoverScene, rng: np.random.Generator) -> list[tuple[str, np.ndarray]]:
    """Return kinds of shards with an order of the samples each, of which shards are runs: by location, at random."""
    row, column = data.centres.T
    found = []
    for key in (column, -column, row, -row):
        found.append(("by location", np.argsort(key, kind="stable")))
    for _ in range(RANDOM_CUTS):
        found.append(("at random", rng.permutation(len(data))))
    return found


def optima(
    features: Features,
    orders: Sequence[tuple[str, np.ndarray]],
    shares: Sequence[int],
) -> pd.DataFrame:
    """Return one row a cut and strategy: the test OA (a fraction) at the optimum of its expected gradient.

    Args:
        features: To learn from and to score on.
        orders: From `cuts`.
        shares: Samples of each replica in a step, and in this proportion of the shards.
    """
    one_owner = np.zeros(len(features.labels), int)  # all samples count alike, whoever has them
    best = _accuracy(features, sample_weights(one_owner, "samples"))
    rows = []
    for kind, order in orders:
        uneven = sample_weights(assign_shards(order, shares), "mean")
        rows.append({"shards": kind, "strategy": "balanced", "OA": best})
        rows.append({"shards": kind, "strategy": "uneven-plain", "OA": _accuracy(features, uneven)})
    return pd.DataFrame(rows)


def _accuracy(features: Features, weights: torch.Tensor) -> float:
    """Return the test OA of the softmax regression that samples of these weights lead to."""
    slope, intercept = optimum(features.train, features.labels, weights)
    predicted = (features.test @ slope + intercept).argmax(1)
    return (predicted == features.truth).double().mean().item()
