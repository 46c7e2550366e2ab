"""Samples of a split as arrays, and the scores of stacked networks on them."""

from typing import NamedTuple

import numpy as np
import torch

from hetlib.training.evaluation import confusion_matrix, scores
from hetlib_bundle.studies.many.engine import Layers, one_seed, outputs, sample_losses

# Scores that are kept, fractions of 1, and the mean training loss.
SCORES = ("oa", "aa", "kappa", "worst")


class Samples(NamedTuple):
    """Labelled vectors.

    Attributes:
        inputs: (views n, features) float32, standardised by the training samples: all samples in
            the first view, then in the next.
        labels: (n,) int64.
        places: Where they lie in the scene, (n, 2) or (n, 1); None where nobody knows.
    """

    inputs: torch.Tensor
    labels: np.ndarray
    places: np.ndarray | None = None

    @property
    def views(self) -> int:
        """In how many views each sample is there, such as turned images."""
        return len(self.inputs) // len(self.labels)

    @property
    def first_view(self) -> torch.Tensor:
        """The inputs as they are, (n, features)."""
        return self.inputs[: len(self.labels)]


class Split(NamedTuple):
    """The samples of one seed.

    Attributes:
        train: To train on.
        validation: To choose a rate on.
        test: To score on, once.
        classes: How many there are.
    """

    train: Samples
    validation: Samples
    test: Samples
    classes: int


@torch.no_grad()
def confusions(layers: Layers, seed: int, samples: Samples, classes: int) -> np.ndarray:
    """Return the confusion matrices of one seed's networks, (R, classes, classes).

    Args:
        layers: Of all seeds.
        seed: Position of the seed among them.
        samples: Of that seed.
        classes: How many there are.
    """
    values = outputs(one_seed(layers, seed), samples.first_view[None])[0]
    labels = torch.from_numpy(samples.labels)
    found = [confusion_matrix(labels, each.argmax(1), classes) for each in values]
    return torch.stack(found).numpy()


def all_scores(confusion: np.ndarray) -> dict[str, float]:
    """Return `SCORES`: the library's three, and the recall of the worst class that occurs.

    Args:
        confusion: Counts of ``(true, predicted)`` pairs.
    """
    found = scores(confusion)
    samples = confusion.sum(1)
    occurs = samples > 0
    recalls = np.diag(confusion)[occurs] / samples[occurs]
    return {**found, "worst": float(recalls.min())}


@torch.no_grad()
def mean_losses(layers: Layers, seed: int, samples: Samples) -> np.ndarray:
    """Return the mean loss of one seed's networks over some samples, (R,).

    Args:
        layers: Of all seeds.
        seed: Position of the seed among them.
        samples: Of that seed.
    """
    values = outputs(one_seed(layers, seed), samples.first_view[None])
    labels = torch.from_numpy(samples.labels)[None]
    means: np.ndarray = sample_losses(values, labels)[0].double().mean(1).numpy()
    return means
