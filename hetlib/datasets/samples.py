"""Samples read one by one: labelled images as numbers, and random draws that all processes share.

Before each sample the global generators of torch, numpy and Python are seeded by seed, epoch and
the sample's position: every process that reads it then gets the same.
"""

import operator
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from hetlib.datasets.types import Batch
from hetlib.errors import shown
from hetlib.randomness import random_states_kept

SAMPLE = '(image, label) or {"image": ..., "label": ...}'


class Sample(NamedTuple):
    """An image (bands, height, width) float32 and the number of its class."""

    image: np.ndarray
    label: int


def gather_items(
    data: Any,
    indices: Sequence[int] | np.ndarray | torch.Tensor,
    *,
    seed: int,
    epoch: int,
    standardise: bool = True,
) -> Batch:
    """Read samples one by one, each with random draws of its own that all processes share.

    Args:
        data: A data set of this package; its ``transforms`` are applied.
        indices: Positions in it, (n,).
        seed: Of the draws.
        epoch: Of the draws.
        standardise: As in `OwnDataset.gather`.

    Returns:
        Images (n, bands, height, width) float32, channels last in memory, and labels (n,) int64.

    Raises:
        ValueError: A transform has changed the shape of an image.
    """
    chosen = np.asarray(indices, dtype=np.int64)
    images = torch.empty((len(chosen), *data.image_shape), memory_format=torch.channels_last)
    labels = torch.empty(len(chosen), dtype=torch.int64)
    with random_states_kept():
        for place, i in enumerate(chosen.tolist()):
            where = f"sample {i} of {data.split} after `transforms`"
            sample = labelled_image(_item(data, i, seed, epoch), where)
            check_shape(sample, data.image_shape, where)
            images[place] = torch.from_numpy(sample.image)
            labels[place] = sample.label
    if standardise:
        _standardise(images, data.mean, data.std)
    return images, labels


def _item(data: Any, i: int, seed: int, epoch: int) -> Mapping[str, Any]:
    """Return an item, drawn for an epoch."""
    if hasattr(data, "draw"):
        return data.draw(i, seed=seed, epoch=epoch)
    seed_generators(seed, epoch, i)
    return data[i]


def _standardise(images: torch.Tensor, mean: np.ndarray, std: np.ndarray) -> None:
    """Subtract the mean and divide by the deviation, in place; what is not finite becomes 0."""
    images -= torch.from_numpy(mean)[:, None, None]
    images /= torch.from_numpy(std)[:, None, None]
    torch.nan_to_num(images, nan=0.0, posinf=0.0, neginf=0.0, out=images)


def seed_generators(seed: int, epoch: int, sample: int) -> None:
    """Seed the global generators of torch, numpy and Python for one sample.

    Args:
        seed: Of the run.
        epoch: From 0.
        sample: Position in its split.
    """
    number = int(np.random.SeedSequence([seed, epoch, sample]).generate_state(1)[0])
    torch.default_generator.manual_seed(number)
    np.random.seed(number)  # noqa: NPY002 -- the reader's code may draw from it
    random.seed(number)


def read_sample(source: Any, place: int, name: str) -> Sample:
    """Read one sample of an object of the reader's.

    Args:
        source: The object.
        place: Number of the sample.
        name: Of the callable, for messages.

    Returns:
        The image and its class.

    Raises:
        ValueError: It is no labelled image.
    """
    where = f"sample {place} of {name}"
    try:
        item = source[place]
    except Exception as error:
        raise ValueError(f"{where} cannot be read: {type(error).__name__}: {error}.") from error
    return labelled_image(item, where)


def labelled_image(item: Any, where: str) -> Sample:
    """Return a sample as numbers.

    Args:
        item: ``(image, label)`` or a mapping of both.
        where: Which one, for messages.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(item, Mapping) and {"image", "label"} <= item.keys():
        image, label = item["image"], item["label"]
    elif isinstance(item, tuple | list) and len(item) == len(Sample._fields):
        image, label = item
    else:
        raise ValueError(f"{where} is {type(item).__name__}; it must be {SAMPLE}.")
    return Sample(as_image(image, where), as_label(label, where))


def as_image(image: Any, where: str) -> np.ndarray:
    """Return an image as numbers.

    Args:
        image: A tensor or array (bands, height, width) or (height, width), or an image of Pillow.
        where: Which one, for messages.

    Returns:
        (bands, height, width) float32, of memory of its own.

    Raises:
        ValueError: It is neither, or has no pixels.
    """
    from_pillow = hasattr(image, "convert") and hasattr(image, "getbands")
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu().float().numpy()
    try:
        values = np.array(image, dtype=np.float32, order="C")
    except (TypeError, ValueError):
        raise ValueError(
            f"{where} has an image of type {type(image).__name__}; "
            "it must be a tensor or array (bands, height, width), or an image of Pillow."
        ) from None
    if values.ndim == 2:
        values = values[None]
    elif from_pillow and values.ndim == 3:
        values = np.ascontiguousarray(values.transpose(2, 0, 1))
    if values.ndim != 3 or not values.size:
        raise ValueError(
            f"{where} has an image of shape {values.shape}; it must be (bands, height, width)."
        )
    return values


def as_label(label: Any, where: str) -> int:
    """Return the number of a class.

    Args:
        label: A whole number of Python, numpy or torch.
        where: Of which sample, for messages.

    Raises:
        ValueError: It is none, or below 0.
    """
    try:
        number = operator.index(label)
    except (TypeError, ValueError, RuntimeError):
        number = -1
    if number < 0:
        raise ValueError(
            f"{where} has the label {shown(label)}; it must be the number of a class, from 0."
        )
    return number


def check_shape(sample: Sample, shape: tuple[int, ...], where: str) -> None:
    """Refuse an image of another shape than the others'.

    Args:
        sample: The sample.
        shape: That of the others.
        where: Which sample, for the message.

    Raises:
        ValueError: Its shape differs.
    """
    if sample.image.shape != tuple(shape):
        raise ValueError(
            f"{where} has an image {sample.image.shape}, and the others are {tuple(shape)}; "
            "bring all to one shape."
        )
