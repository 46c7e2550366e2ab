"""A data set of images made here, which needs torch and numpy alone: waves of noisy brightness.

A class is a direction of the waves. Their length, phase and strength in each band differ from image
to image; over them lie noise, and weaker waves of any direction.
"""

from pathlib import Path

import numpy as np

import hetlib
from hetlib.datasets import cache as store
from hetlib.datasets.catalog import register
from hetlib.datasets.images import ImageDataset
from hetlib.datasets.splits import SPLITS
from hetlib.datasets.statistics import moments
from tests.gpu.common import BANDS, CLASSES

NAME = "waves"
NOISE = 3.0  # standard deviation of a band's, where the waves' is about 0.7
CLUTTER = 0.8  # strength of the other waves
_LENGTHS = (5.0, 9.0)  # shortest and longest wave, pixels
_OF_THREE = 3  # images: the first is for training, the others are for tests


class Waves(ImageDataset):
    """One split of the images.

    Args:
        split: "train", "validation" or "test".
        per_class: Training images of a class; twice as many are for tests.
        size: Of the images, in pixels.
        cache: Folder of decoded images.
    """

    def __init__(
        self,
        split: str = "train",
        *,
        per_class: int = 100,
        size: int = 16,
        cache: Path | None = None,
    ) -> None:
        content = {
            "checksum": f"{NAME} {per_class} {size} {NOISE} {CLUTTER}",
            "bands": [str(band + 1) for band in range(BANDS)],
            "classes": [f"{180 * label / CLASSES:.0f} degrees" for label in range(CLASSES)],
            "nodata": None,
            "valid_range": None,
        }
        number = CLASSES * per_class * _OF_THREE
        entry = store.fetch(cache or store.CACHE, content, lambda _: ({}, drawn(number, size)))
        is_training = np.arange(number) // CLASSES % _OF_THREE == 0
        assigned = np.where(is_training, SPLITS.index("train"), SPLITS.index("test"))
        super().__init__(entry, assigned, split)


def drawn(number: int, size: int) -> dict[str, np.ndarray]:
    """Return images ``(n, size, size, bands)`` float32, their labels and moments."""
    random = np.random.default_rng(0)
    labels = np.arange(number) % CLASSES
    pixels = waves(random, np.pi * labels / CLASSES, size)
    pixels += CLUTTER * waves(random, random.uniform(0, np.pi, number), size)
    strength = random.uniform(0.5, 1.5, (number, 1, 1, BANDS))
    images = pixels[..., None] * strength + NOISE * random.normal(size=(*pixels.shape, BANDS))
    images = images.astype(np.float32)
    return {"images": images, "labels": labels, "moments": moments(images, None, None)}


def waves(random: np.random.Generator, angles: np.ndarray, size: int) -> np.ndarray:
    """Return waves in given directions, ``(n, size, size)``, of any length and phase."""
    number = len(angles)
    wave = 2 * np.pi / random.uniform(*_LENGTHS, number)
    phase = random.uniform(0, 2 * np.pi, number)
    row, column = np.mgrid[:size, :size]
    along = np.cos(angles)[:, None, None] * column + np.sin(angles)[:, None, None] * row
    return np.sin(wave[:, None, None] * along + phase[:, None, None])


def make_known(_: int | None = None) -> None:
    """Make the data set known by name in this process; a job that each replica does first."""
    register(NAME, Waves)


def experiment_of(**settings: object) -> hetlib.Experiment:
    """Return an experiment on these images."""
    make_known()
    return hetlib.Experiment(dataset=NAME, **settings)
