"""How many samples each class has, and weights that make up for it.

    weights = class_weights(train_set)                     # mean 1, the rarest class largest
    loss = F.cross_entropy(model(inputs), targets, weight=weights)
    hetlib.balance(loss, count=weights[targets].sum()).backward()

``F.cross_entropy(..., weight=w)`` is a weighted mean: it divides by the sum of its batch's weights,
and not by the number of samples. One process would divide by the sum over all replicas, so
`hetlib.balance` takes that sum as the count, and the number of samples of a loader would be wrong.
"""

from typing import Protocol

import numpy as np
import torch

from hetlib.inputs import number, one_of

RULES = ("inverse", "effective")

# beta of the effective number of samples; 0.9999 in the source for data sets of ten thousands, and
# nearer to equal weights where there are fewer samples.
BETA = 0.999


class Labelled(Protocol):
    """A data set of samples with one class each.

    Attributes:
        classes: Names of the classes.
        labels: Positions of the samples' classes, (n,).
    """

    classes: tuple[str, ...]
    labels: np.ndarray


def class_counts(dataset: Labelled) -> dict[str, int]:
    """Return the number of samples of each class.

    Args:
        dataset: One split of any data set here.

    Returns:
        By the class's name, in the order of the labels; 0 for one that the split lacks.
    """
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    return dict(zip(dataset.classes, counts.tolist(), strict=True))


def class_weights(dataset: Labelled, rule: str = "inverse", *, beta: float = BETA) -> torch.Tensor:
    """Return a weight for each class, for ``F.cross_entropy(..., weight=...)``.

    The weights' mean over the samples is 1, so that a learning rate keeps its meaning. With n_c
    samples of class c, they are in proportion to

        inverse      1 / n_c
        effective    (1 - beta) / (1 - beta^n_c)      (Cui et al., CVPR 2019)

    Args:
        dataset: The training split.
        rule: "inverse": each class weighs as much as any other; or "effective": less than that,
            since more samples of a class say less and less that is new.
        beta: Of the effective number: 0 is equal weights, towards 1 it is "inverse".

    Returns:
        (classes,) float32; 0 for a class without samples.

    Raises:
        ValueError: There is no such rule, or ``beta`` is not within 0 and below 1.
    """
    one_of("rule", rule, RULES)
    beta = number("beta", beta, low=0, below=1)
    counts = np.array(list(class_counts(dataset).values()), dtype=np.float64)
    numbers = counts
    if rule == "effective":
        numbers = (1 - beta**counts) / (1 - beta)
    weights = np.divide(1, numbers, out=np.zeros_like(counts), where=counts > 0)
    total = counts @ weights
    return torch.from_numpy(weights * counts.sum() / total).float()


def imbalance(dataset: Labelled) -> float:
    """Return how many times the largest class is the smallest that has samples.

    Args:
        dataset: One split of any data set here.
    """
    counts = np.bincount(dataset.labels)
    there = counts[counts > 0]
    return float(there.max() / there.min())
