"""Augmentation by name: images mirrored and turned at random, alike on every replica.

What is done to a sample follows from seed, epoch and the sample's position in its split, and from
nothing else. So processes and virtual replicas see the same images, however the batch is dealt.
"""

import numpy as np
import torch

# By name: the number of ways in which an image may come. None leaves images as they are.
AUGMENTATIONS = {None: 1, "flips": 4, "flips-rotations": 8}

_MIRROR_ROWS = 1  # bits of a way
_MIRROR_COLUMNS = 2
_TRANSPOSE = 4

# Part of the seed: sample order is drawn from the same seed, and by others.
_STREAM = 0xF11B


def ways_of(augment: str | None, *, samples: int, seed: int, epoch: int) -> np.ndarray:
    """Draw how each sample of a split comes in an epoch.

    Args:
        augment: Name of the augmentation.
        samples: Of the split.
        seed: Of the run.
        epoch: From 0.

    Returns:
        (samples,) uint8: bit 1 for mirrored rows, 2 for mirrored columns, 4 for rows and columns
        changed over; all combinations are the eight mirrored and turned versions.
    """
    rng = np.random.default_rng([_STREAM, seed, epoch])
    return rng.integers(0, AUGMENTATIONS[augment], size=samples, dtype=np.uint8)


def check_augment(augment: str | None, image_shape: tuple[int, ...]) -> None:
    """Refuse turning images that are not square.

    Args:
        augment: Name of the augmentation.
        image_shape: Bands, height, width.

    Raises:
        ValueError: A turned image would have another shape.
    """
    _, height, width = image_shape
    if augment == "flips-rotations" and height != width:
        raise ValueError(
            f"`augment` is {augment!r}, and images are {height} x {width}; "
            "turn square ones, or give 'flips'."
        )


def mirror_and_turn(images: torch.Tensor, ways: np.ndarray) -> torch.Tensor:
    """Return images mirrored and turned.

    Args:
        images: (n, bands, height, width).
        ways: See `ways_of`, (n,).

    Returns:
        Images of the same shape, channels last in memory; the same object where nothing is done.
    """
    if not ways.any():
        return images
    changed = images.clone(memory_format=torch.channels_last)
    for way in np.unique(ways[ways > 0]):
        chosen = torch.from_numpy(np.flatnonzero(ways == way))
        part = images[chosen]
        if way & _TRANSPOSE:
            part = part.transpose(2, 3)
        if way & _MIRROR_ROWS:
            part = part.flip(2)
        if way & _MIRROR_COLUMNS:
            part = part.flip(3)
        changed[chosen] = part
    return changed
