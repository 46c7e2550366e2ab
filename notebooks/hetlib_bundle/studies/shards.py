"""Replicas that always draw from their own part of the data: what the plain mean then converges to."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F


def assign_shards(order: np.ndarray, shares: Sequence[int]) -> np.ndarray:
    """Return the replica that owns each sample, (n,): runs of ``order`` in proportion to ``shares``."""
    ends = np.rint(np.cumsum(shares) / sum(shares) * len(order)).astype(int)
    owner = np.empty(len(order), dtype=int)
    owner[order] = np.repeat(np.arange(len(shares)), np.diff(ends, prepend=0))
    return owner


def sample_weights(owner: np.ndarray, weighting: str) -> torch.Tensor:
    """Return what each sample counts in the expected gradient, (n,) with the sum 1.

    ``"mean"``: 1 / (P N_r), the plain mean over replicas with shards of N_r samples. ``"samples"``:
    1 / N.
    """
    sizes = np.bincount(owner)
    weights = {"mean": 1 / (len(sizes) * sizes), "samples": np.full(len(sizes), 1 / len(owner))}[
        weighting
    ]
    return torch.from_numpy(weights[owner])


def optimum(
    features: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, decay: float = 1e-3
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weights (features, classes) and bias of the softmax regression that weighted training ends at.

    Args:
        features: (n, features) float64.
        labels: (n,) class numbers.
        weights: (n,) of the samples.
        decay: L2 penalty, which makes the optimum unique.
    """
    classes = int(labels.max()) + 1
    parameters = [torch.zeros(features.shape[1], classes).double(), torch.zeros(classes).double()]
    for parameter in parameters:
        parameter.requires_grad_()
    solver = torch.optim.LBFGS(parameters, max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        each = F.cross_entropy(features @ parameters[0] + parameters[1], labels, reduction="none")
        value = (each * weights).sum() + decay * parameters[0].square().sum()
        value.backward()
        return value

    solver.step(loss)
    return parameters[0].detach(), parameters[1].detach()
