"""A mutant of the balanced gradient, for whole jobs: its weight of the last replica is wrong."""

from collections.abc import Sequence

import numpy as np
import torch.distributed as dist
from torch import nn

from hetlib.balanced.weights import replica_weights
from hetlib.training import strategies

# What the last replica's balanced weight is multiplied by.
WRONG = 1.1

# Units of the hidden layers.
HIDDEN = 64


def wrong_weights(
    counts: Sequence[int], weighting: str, speeds: Sequence[float] | None = None
) -> np.ndarray:
    """Return the weights as they are, but for the last one of the balanced gradient."""
    weights = replica_weights(counts, weighting, speeds)
    if weighting == "samples":
        weights[-1] *= WRONG
    return weights


def network(bands: int, classes: int, size: int, *, wrong: bool = False) -> nn.Module:
    """Return a small perceptron; where asked for, a replica that builds it weighs wrongly.

    One process of its own, as the reference is trained by, always weighs rightly.
    """
    if wrong and dist.is_initialized():
        strategies.replica_weights = wrong_weights
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(bands * size * size, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, classes),
    )
