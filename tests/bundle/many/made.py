"""Samples that are made up, and a recipe of them."""

import dataclasses

import numpy as np
import pytest
import torch

from hetlib_bundle.studies.many import cells, recipes
from hetlib_bundle.studies.many.samples import Samples, Split

CLASSES = 3
FEATURES = 5


def samples(count: int, seed: int) -> Samples:
    """Clouds around one corner a class; where a sample lies in the scene is its first feature."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % CLASSES)
    values = rng.standard_normal((count, FEATURES))
    values[np.arange(count), labels] += 2.0
    inputs = torch.from_numpy(values.astype(np.float32))
    return Samples(inputs, labels, values[:, :1])


def split(seed: int) -> Split:
    return Split(samples(240, 3 * seed), samples(90, 3 * seed + 1), samples(300, 3 * seed + 2), 3)


def permuted(seed: int) -> Split:
    """The same with labels that have nothing to do with the inputs, in training alone."""
    found = split(seed)
    mixed = np.random.default_rng(seed).permutation(found.train.labels)
    return found._replace(train=found.train._replace(labels=mixed))


def add_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = recipes.Recipe(
        name="made", title="Made up", load=split, plain=split, hidden=(8,), has_places=True
    )
    mixed = dataclasses.replace(made, name="permuted", load=permuted, plain=permuted)
    both = {"made": made, "permuted": mixed}
    monkeypatch.setattr(recipes, "RECIPES", {**recipes.RECIPES, **both})
    cells.split_of.cache_clear()
