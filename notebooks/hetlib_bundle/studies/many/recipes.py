"""Data sets with networks that learn them cheaply: recipes.

What a recipe does not take from the data (hidden layers, weight decay, the first rates) was chosen
by validation accuracy of one process. A split is drawn by a seed: by blocks of the scene, of
rows of a table, or by groups of images that look alike, so that no neighbour of a training sample
is tested.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch

from hetlib.datasets import LandCoverScene, load_dataset
from hetlib.datasets.catalog import find_root
from hetlib.datasets.splits import SPLITS, assign, deal_blocks
from hetlib.inputs import one_of
from hetlib_bundle.studies.many.engine import Descent
from hetlib_bundle.studies.many.features import Frozen, frozen_eurosat
from hetlib_bundle.studies.many.samples import Samples, Split

# Of a scene or table for training, validation and test, and of images.
FRACTIONS = (0.5, 0.2, 0.3)
IMAGE_FRACTIONS = (0.6, 0.15, 0.25)

# Of 3 x 3 pixels, and as many of a class in a split.
WINDOWS: Mapping[str, Any] = {"window": 3, "per_class": 300, "split_by": "blocks"}

COMPONENTS = 30  # of the spectra of Indian Pines

# Wake without its two rare classes: some splits by blocks would have none of their windows.
WAKE_CLASSES = ("developed", "herbaceous", "shrubland", "forest", "water")

# Rows of Statlog that come into one split: neighbours in the scene are neighbours in the file.
STATLOG_ROWS = 50

# A deviation below it counts as no more than it.
LEAST_DEVIATION = 1e-3


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A data set and how a network learns it.

    Attributes:
        name: In records and figures.
        title: For readers.
        load: Takes the seed of the split and returns its samples.
        plain: Takes the seed and returns the same samples as classical methods learn from.
        hidden: Units of the hidden layers; none is a linear layer.
        descent: Momentum and weight decay.
        middle_rate: Peak learning rate in the middle of the first search.
        has_places: The samples have places, and so regions.
    """

    name: str
    title: str
    load: Callable[[int], Split]
    plain: Callable[[int], Split]
    hidden: tuple[int, ...] = (64, 64)
    descent: Descent = field(default_factory=Descent)
    middle_rate: float = 0.16
    has_places: bool = False

    def sizes(self, split: Split) -> tuple[int, ...]:
        """Return the sizes of the layers for a split of the data.

        Args:
            split: Any.
        """
        return (split.train.inputs.shape[1], *self.hidden, split.classes)


def standardised(
    values: np.ndarray,
    labels: np.ndarray,
    places: np.ndarray | None,
    assigned: np.ndarray,
) -> Split:
    """Return a split whose values are standardised by its training samples alone.

    Args:
        values: (views, n, features); validation and test see the first view alone.
        labels: (n,) class numbers.
        places: (n, k), or None.
        assigned: Positions in `SPLITS`, -1 for none, (n,).
    """
    training = values[:, assigned == SPLITS.index("train")]
    middle = training.mean((0, 1))
    deviation = np.maximum(training.std((0, 1)), LEAST_DEVIATION)
    parts = []
    for position, split in enumerate(SPLITS):
        chosen = np.flatnonzero(assigned == position)
        views = values if split == "train" else values[:1]
        scaled = (views[:, chosen] - middle) / deviation
        flat = scaled.reshape(-1, values.shape[2]).astype(np.float32)
        inputs = torch.from_numpy(flat)
        where = None if places is None else places[chosen]
        parts.append(Samples(inputs, labels[chosen], where))
    train, validation, test = parts
    return Split(train, validation, test, int(labels.max()) + 1)


@cache
def _frozen() -> Frozen:
    return frozen_eurosat()


def eurosat_split(values: np.ndarray, seed: int) -> Split:
    """Return a split of EuroSAT; images that look alike come into one part.

    Args:
        values: Of the images, (views, n, features).
        seed: Draws it.
    """
    frozen = _frozen()
    assigned = assign(frozen.labels, frozen.groups, IMAGE_FRACTIONS, seed)
    return standardised(values, frozen.labels, None, assigned)


def eurosat_features(seed: int) -> Split:
    """Return the features of a frozen network, split by a seed.

    Args:
        seed: Of the split.
    """
    return eurosat_split(_frozen().features, seed)


def eurosat_statistics(seed: int) -> Split:
    """Return colours and textures of the images, split by a seed.

    Args:
        seed: Of the split.
    """
    return eurosat_split(_frozen().statistics[None], seed)


def scene_pixels(name: str, seed: int, **options: Any) -> Split:
    """Return windows of an embedded scene, split by squares that share no pixel.

    Args:
        name: Of the scene.
        seed: Deals the squares.
        options: Further ones of the data set.
    """
    parts = []
    for split in SPLITS:
        windows = load_dataset(name, split, fractions=FRACTIONS, seed=seed, **options)
        assert isinstance(windows, LandCoverScene)  # as every embedded scene
        images, labels = windows.gather(np.arange(len(windows)))
        inputs = images.flatten(1).contiguous()
        parts.append(Samples(inputs, labels.numpy(), windows.centres.astype(float)))
    train, validation, test = parts
    return Split(train, validation, test, len(windows.classes))


def wake_pixels(seed: int) -> Split:
    """Return 3 x 3 pixels of Wake.

    Args:
        seed: Of the split.
    """
    return scene_pixels("wake", seed, classes=WAKE_CLASSES, **WINDOWS)


def brandenburg_pixels(seed: int) -> Split:
    """Return 3 x 3 pixels of Brandenburg.

    Args:
        seed: Of the split.
    """
    return scene_pixels("brandenburg", seed, **WINDOWS)


def pines_pixels(seed: int) -> Split:
    """Return pixels of Indian Pines: components of the training pixels, in their own numbers.

    Args:
        seed: Of the split.
    """
    return scene_pixels("indian_pines", seed, window=1, components=COMPONENTS)


@cache
def _statlog() -> tuple[np.ndarray, np.ndarray]:
    """Return the values (n, 36) and the classes (n,)."""
    path = find_root("statlog", ("statlog_landsat_mss.csv",))
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    values = np.array([row[:-1] for row in rows], dtype=float)
    _, labels = np.unique([row[-1] for row in rows], return_inverse=True)
    return values, labels.astype(np.int64)


def statlog(seed: int) -> Split:
    """Return 3 x 3 pixels of Landsat MSS, split by blocks of rows.

    Args:
        seed: Deals the blocks.
    """
    values, labels = _statlog()
    rows = np.arange(len(labels))
    blocks = rows // STATLOG_ROWS
    deal = deal_blocks(blocks[-1] + 1, FRACTIONS, seed)
    places = rows[:, None].astype(float)
    return standardised(values[None], labels, places, deal[blocks])


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="eurosat-frozen",
            title="EuroSAT, frozen EfficientNet-Lite0 and a new last layer",
            load=eurosat_features,
            plain=eurosat_statistics,
            hidden=(),
            middle_rate=0.02,
        ),
        Recipe(
            name="brandenburg-pixels",
            title="Brandenburg, 3 x 3 pixels, three layers",
            load=brandenburg_pixels,
            plain=brandenburg_pixels,
            has_places=True,
        ),
        Recipe(
            name="wake-pixels",
            title="Wake, 3 x 3 pixels, three layers",
            load=wake_pixels,
            plain=wake_pixels,
            middle_rate=0.08,
            has_places=True,
        ),
        Recipe(
            name="pines-pixels",
            title="Indian Pines, 30 components of a pixel, three layers",
            load=pines_pixels,
            plain=pines_pixels,
            middle_rate=0.32,
            has_places=True,
        ),
        Recipe(
            name="statlog",
            title="Statlog, 3 x 3 pixels, three layers",
            load=statlog,
            plain=statlog,
            has_places=True,
        ),
    )
}


def recipe(name: str) -> Recipe:
    """Return a recipe by its name.

    Args:
        name: One of `RECIPES`.

    Raises:
        ValueError: There is none of this name.
    """
    one_of("recipe", name, RECIPES)
    return RECIPES[name]
