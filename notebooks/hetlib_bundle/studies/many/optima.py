"""Where the plain mean over fixed shards ends: exact optima of linear networks.

No rate and no number of steps mends what is left there: the objective itself is another one.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from hetlib_bundle.studies.many.cells import HELD, split_of
from hetlib_bundle.studies.many.conditions import Condition
from hetlib_bundle.studies.many.draws import owners
from hetlib_bundle.studies.many.samples import SCORES, Samples, all_scores
from hetlib_bundle.studies.shards import optimum, sample_weights

# Raise it when the same settings give other results.
FORMAT = 1

# L2 penalty of the optima: it makes them unique.
DECAY = 1e-4


def optima_work(name: str, condition: Condition, seeds: Sequence[int]) -> dict[str, Any]:
    """Return all that decides the optima of a condition, as records keep it.

    Args:
        name: Of the recipe.
        condition: Plain, with shards.
        seeds: Of the splits and of what the cuts leave open.
    """
    return {
        "what": "optima",
        "recipe": name,
        "sampling": condition.sampling,
        "shares": list(condition.shares),
        "decay": DECAY,
        "seeds": list(seeds),
        "format": FORMAT,
    }


def optima(name: str, condition: Condition, seeds: Sequence[int]) -> dict[str, Any]:
    """Return the test scores of a linear network at its optimum, a value a seed.

    Args:
        name: Of the recipe; its hidden layers are left out.
        condition: With shards.
        seeds: Of the splits and of what the cuts leave open.

    Returns:
        ``plain`` and ``balanced``, each lists of `SCORES` and ``fit``, the OA on training samples.
    """
    plain = []
    balanced = []
    for seed in seeds:
        train = split_of(name, seed).train
        owner = owners(condition, train, seed)
        assert owner is not None  # a condition with shards has owners
        plain.append(_scores(name, seed, sample_weights(owner, "mean")))
        balanced.append(_balanced(name, seed))
    return {"plain": _lists(plain), "balanced": _lists(balanced)}


@lru_cache(HELD)
def _balanced(name: str, seed: int) -> dict[str, float]:
    """Return the scores where every sample counts alike, whoever has it."""
    one_owner = np.zeros(len(split_of(name, seed).train.labels), dtype=np.int64)
    return _scores(name, seed, sample_weights(one_owner, "samples"))


def _lists(scores: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    """Return the scores of all seeds as a list a score."""
    lists = {}
    for name in (*SCORES, "fit"):
        lists[name] = [each[name] for each in scores]
    return lists


def _scores(name: str, seed: int, weights: torch.Tensor) -> dict[str, float]:
    """Return the scores of the linear network that samples of these weights lead to."""
    split = split_of(name, seed)
    train = split.train
    labels = torch.from_numpy(train.labels)
    network = optimum(train.first_view.double(), labels, weights, DECAY)
    found = all_scores(_confusion(network, split.test, split.classes))
    fit = all_scores(_confusion(network, train, split.classes))["oa"]
    return {**found, "fit": fit}


def _confusion(
    network: tuple[torch.Tensor, torch.Tensor], samples: Samples, classes: int
) -> np.ndarray:
    slope, intercept = network
    predicted = (samples.first_view.double() @ slope + intercept).argmax(1).numpy()
    pairs = np.bincount(samples.labels * classes + predicted, minlength=classes**2)
    return pairs.reshape(classes, classes)
