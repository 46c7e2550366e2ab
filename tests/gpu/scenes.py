"""A data set of images made here, which needs torch and numpy alone: waves of noisy brightness.

A class is a direction of the waves. Their length, phase and strength in each band differ from image
to image; over them lie noise, and weaker waves of any direction.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Dataset

import hetlib
from tests.gpu.common import BANDS, CLASSES

NOISE = 3.0  # standard deviation of a band's, where the waves' is about 0.7
CLUTTER = 0.8  # strength of the other waves
_LENGTHS = (5.0, 9.0)  # shortest and longest wave, pixels
# Images of a class, as many times as there are for training.
_TIMES = {"train": 1, "validation": 1, "test": 2}


class Images(NamedTuple):
    """Images ``(n, bands, size, size)`` float32, and their classes ``(n,)``."""

    pixels: np.ndarray
    labels: np.ndarray


class Waves(Dataset[Any]):
    """One split of the images.

    Args:
        split: "train", "validation" or "test".
        per_class: Training images of a class; twice as many are for tests.
        size: Of the images, in pixels.
    """

    def __init__(self, split: str, *, per_class: int = 40, size: int = 16) -> None:
        number = CLASSES * per_class * _TIMES[split]
        self.images = drawn(list(_TIMES).index(split), number, size)

    def __len__(self) -> int:
        return len(self.images.labels)

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        return self.images.pixels[i], int(self.images.labels[i])


@lru_cache(maxsize=8)
def drawn(seed: int, number: int, size: int) -> Images:
    """Return images, the same in every process."""
    random = np.random.default_rng(seed)
    labels = np.arange(number) % CLASSES
    brightness = waves(random, np.pi * labels / CLASSES, size)
    brightness += CLUTTER * waves(random, random.uniform(0, np.pi, number), size)
    strength = random.uniform(0.5, 1.5, (number, BANDS, 1, 1))
    noise = random.normal(size=(number, BANDS, size, size))
    pixels = brightness[:, None] * strength + NOISE * noise
    return Images(pixels.astype(np.float32), labels)


def waves(random: np.random.Generator, angles: np.ndarray, size: int) -> np.ndarray:
    """Return waves in given directions, ``(n, size, size)``, of any length and phase."""
    number = len(angles)
    wave = 2 * np.pi / random.uniform(*_LENGTHS, number)
    phase = random.uniform(0, 2 * np.pi, number)
    row, column = np.mgrid[:size, :size]
    along = np.cos(angles)[:, None, None] * column + np.sin(angles)[:, None, None] * row
    return np.sin(wave[:, None, None] * along + phase[:, None, None])


def experiment_of(**settings: Any) -> hetlib.Experiment:
    """Return an experiment on these images."""
    return hetlib.Experiment(dataset="tests.gpu.scenes:Waves", **settings)
