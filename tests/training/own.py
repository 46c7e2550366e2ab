"""A data set and networks as a reader would bring them, written as a module into a folder."""

from pathlib import Path

MODULE = '''
"""Squares, crosses and noise, and what sorts them."""

import random

import numpy as np
import torch
from torch import nn


def image_of(i, size):
    rng = np.random.default_rng(i)
    pixels = rng.normal(0, 0.3, (2, size, size)).astype(np.float32)
    pixels[i % 3 % 2, 2:5, 2:5] += 2.0 * (i % 3 > 0)
    return torch.from_numpy(pixels)


class Shapes:
    def __init__(self, samples=90, size=12):
        self.samples = samples
        self.size = size

    def __len__(self):
        return self.samples

    def __getitem__(self, i):
        if not 0 <= i < self.samples:
            raise IndexError(i)
        return image_of(i, self.size), i % 3


class Named(Shapes):
    """As torchgeo's: a dictionary, names, a split."""

    classes = ["nothing", "first", "second"]

    def __init__(self, split, samples=60):
        assert split in ("train", "val", "test")
        super().__init__(samples)
        self.first = {"train": 0, "val": 1000, "test": 2001}[split]

    def __getitem__(self, i):
        super().__getitem__(i)
        i += self.first
        return {"image": image_of(i, self.size), "label": torch.tensor(i % 3)}


class Trembling(Shapes):
    """Draws something new each time: with torch, numpy and Python."""

    def __getitem__(self, i):
        image, label = super().__getitem__(i)
        image = image + 0.1 * torch.randn(1, self.size, self.size)
        return image + 0.1 * np.random.rand() + 0.1 * random.random(), label


def shifted(sample):
    """A transform with a random part."""
    moved = int(torch.randint(0, 4, ()))
    return {"image": sample["image"].roll(moved, 1), "label": sample["label"]}


def cropped(sample):
    return {"image": sample["image"][:, 1:], "label": sample["label"]}


class Net(nn.Sequential):
    def __init__(self, bands, classes, width=8):
        super().__init__(
            nn.Conv2d(bands, width, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(4 * width, classes),
        )


class Normed(nn.Sequential):
    def __init__(self, in_channels, num_classes):
        super().__init__(
            nn.Conv2d(in_channels, 4, 3),
            nn.BatchNorm2d(4),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, num_classes),
        )


def three_bands():
    return Net(3, 3)


def no_net():
    return 3


TEXT = "neither function nor class"
'''


def write_module(folder: Path, name: str) -> str:
    """Write the module; the same name is imported once a process, so give each test its own."""
    (folder / f"{name}.py").write_text(MODULE)
    return name
