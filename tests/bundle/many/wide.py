"""A made-up task on which noisy gradients cost something, and the few cells that P2 to P5 read."""

import functools
from typing import NamedTuple

import numpy as np
import pytest
import torch

from hetlib_bundle.studies.many import cells, recipes
from hetlib_bundle.studies.many.conditions import Condition
from hetlib_bundle.studies.many.designs import Design
from hetlib_bundle.studies.many.judged import PLANNED, WORST
from hetlib_bundle.studies.many.samples import Samples, Split

NAME = "wide"

# Of the samples; a class has a feature of its own that is larger by `APART`, the others are noise.
CLASSES = 8
FEATURES = 40
APART = 1.5


class Sizes(NamedTuple):
    """Samples of the parts: too few to train on, enough to tell half a point of a test."""

    train: int = 600
    validation: int = 1000
    test: int = 4000


def samples(count: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % CLASSES)
    values = rng.standard_normal((count, FEATURES))
    values[np.arange(count), labels] += APART
    inputs = torch.from_numpy(values.astype(np.float32))
    return Samples(inputs, labels, values[:, :1])


def load(seed: int, *, permuted: bool) -> Split:
    """Return a split; permuted training labels have nothing to do with the inputs."""
    first = len(Sizes._fields) * seed
    parts = [samples(count, first + place) for place, count in enumerate(Sizes())]
    train, validation, test = parts
    if permuted:
        mixed = np.random.default_rng(seed).permutation(train.labels)
        train = train._replace(labels=mixed)
    return Split(train, validation, test, CLASSES)


def add_recipe(monkeypatch: pytest.MonkeyPatch, *, permuted: bool) -> None:
    """Make the recipe known, in place of all others."""
    split = functools.partial(load, permuted=permuted)
    made = recipes.Recipe(
        name=NAME, title="Wide", load=split, plain=split, hidden=(), middle_rate=0.1
    )
    monkeypatch.setattr(recipes, "RECIPES", {NAME: made})
    cells.split_of.cache_clear()


class Few(Design):
    """A design of the conditions that P2 to P5 are judged by, and no others."""

    def conditions(self, name: str, steps: int) -> list[Condition]:
        planned = numbers(PLANNED)
        worst = numbers(WORST)
        return [
            Condition("single", (sum(planned),)),
            Condition("small", planned),
            Condition("plain", planned),
            Condition("plain", worst, "random"),
            Condition("balanced", worst, "random"),
        ]


def numbers(shares: str) -> tuple[int, ...]:
    return tuple(map(int, shares.split("/")))


DESIGN = Few(
    recipes=(NAME,),
    steps=(6, 12, 24, 48),
    shares=(),
    closely=(),
    seeds=tuple(range(8)),
    search_seeds=(100, 101, 102, 103),
)
