"""What classical methods reach on the same splits, and what a guess does: floors for networks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hetlib.errors import require
from hetlib_bundle.studies.many.recipes import Recipe, recipe
from hetlib_bundle.studies.many.samples import Split

# Raise it when the same settings give other results.
FORMAT = 1

TREES = 300  # of the forest, unless a design has fewer
PASSES = 2000  # of the logistic regression's solver, at most


def floors_work(name: str, seeds: Sequence[int], trees: int = TREES) -> dict[str, Any]:
    """Return all that decides the floors of a recipe, as records keep it.

    Args:
        name: Of the recipe.
        seeds: Of the splits.
        trees: Of the forest.
    """
    work = {"what": "floors", "recipe": name, "seeds": list(seeds), "format": FORMAT}
    if trees != TREES:  # the usual number is in no record
        work["trees"] = trees
    how = recipe(name)
    if how.plain is not how.load:  # other inputs than the network's
        work["inputs"] = how.plain.__name__
    return work


def floors(name: str, seeds: Sequence[int], trees: int = TREES) -> dict[str, list[float]]:
    """Return the test OA of classical methods, a value a split.

    Args:
        name: Of the recipe.
        seeds: Of the splits.
        trees: Of the forest.

    Returns:
        ``forest`` and ``logistic``; ``chance``: the share of the most frequent class, which a
        guess of it gets; ``tested``: the number of test samples.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    how: Recipe = recipe(name)
    found: dict[str, list[float]] = {"forest": [], "logistic": [], "chance": [], "tested": []}
    for seed in seeds:
        split = how.plain(seed)
        found["forest"].append(forest(split, seed, trees))
        found["logistic"].append(logistic(split))
        counts = np.bincount(split.test.labels)
        found["chance"].append(float(counts.max() / counts.sum()))
        found["tested"].append(int(counts.sum()))
    return found


def forest(split: Split, seed: int, trees: int = TREES) -> float:
    """Return the test OA of a random forest.

    Args:
        split: To learn from and to score on.
        seed: Of the trees.
        trees: How many.
    """
    ensemble = require("sklearn.ensemble", "notebooks")
    return _accuracy(ensemble.RandomForestClassifier(trees, random_state=seed), split)


def logistic(split: Split) -> float:
    """Return the test OA of a logistic regression.

    Args:
        split: To learn from and to score on.
    """
    linear_model = require("sklearn.linear_model", "notebooks")
    return _accuracy(linear_model.LogisticRegression(max_iter=PASSES), split)


def _accuracy(model: Any, split: Split) -> float:
    model.fit(split.train.first_view.numpy(), split.train.labels)
    predicted = model.predict(split.test.first_view.numpy())
    return float((predicted == split.test.labels).mean())
