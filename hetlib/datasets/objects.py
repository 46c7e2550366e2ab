"""Data sets of the reader's own: any object with a length and labelled images.

A sample is ``(image, label)`` or ``{"image": ..., "label": ...}``. What training needs besides (the
checksum, the bands' mean and deviation, the names of the classes) comes from the samples. They are
read anew each time, so that what a sample draws at random is drawn; see `.samples`.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from hetlib.datasets.samples import (
    SAMPLE,
    check_shape,
    gather_items,
    read_sample,
    seed_generators,
)
from hetlib.datasets.splits import SPLITS, check_split
from hetlib.datasets.survey import FRACTIONS, Sources, Survey, make_survey
from hetlib.datasets.types import Batch
from hetlib.owncode import is_own, load_own, takes
from hetlib.randomness import random_states_kept

# Arguments that take a function, which is named by text.
FUNCTIONS = ("transforms", "transform")

# What others call our splits.
_OTHER_NAMES = {"validation": ("val", "valid")}


class OwnDataset(Dataset):
    """One split of a data set of the reader's own, as training reads it.

    Items are ``{"image": (bands, height, width) float32, "label": int}``, drawn for epoch 0.

    Attributes:
        split: Its name.
        bands: Names of the bands.
        classes: Names of the classes, in the order of their labels.
        checksum: SHA-256 of the samples.
        labels: (n,) int64.
        image_shape: Bands, height, width.
        mean: Of the training split's valid pixels, (bands,) float32.
        std: Their deviation, (bands,) float32.
        shards: None: any replica may draw any sample.
        survey: What all this was taken from.
    """

    def __init__(self, source: Any, split: str, survey: Survey, name: str):
        """Open one split of an object of the reader's.

        Args:
            source: The object.
            split: Name of the split.
            survey: What a pass over its samples has found.
            name: Of the callable, for messages.
        """
        self.split = split
        self.bands = survey.bands
        self.classes = survey.classes
        self.checksum = survey.checksum
        self.labels = survey.labels[split]
        self.image_shape = survey.image_shape
        self.mean = survey.mean
        self.std = survey.std
        self.shards: np.ndarray | None = None
        self.survey = survey
        self._source = source
        self._indices = survey.indices[split]
        self._name = name

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._indices)

    def __getitem__(self, i: int) -> dict[str, Any]:
        """Return a sample, drawn for epoch 0."""
        with random_states_kept():
            return self.draw(i, seed=0, epoch=0)

    def draw(self, i: int, *, seed: int, epoch: int) -> dict[str, Any]:
        """Read a sample; the caller keeps the random states.

        Args:
            i: Its position in this split.
            seed: Of what it draws at random.
            epoch: The same.

        Returns:
            ``{"image": (bands, height, width) float32, "label": int}``.
        """
        seed_generators(seed, epoch, i)
        place = int(self._indices[i])
        sample = read_sample(self._source, place, self._name)
        check_shape(sample, self.image_shape, f"sample {place} of {self._name}")
        return {"image": torch.from_numpy(sample.image), "label": sample.label}

    def gather(
        self, indices: Sequence[int] | np.ndarray | torch.Tensor, standardise: bool = True
    ) -> Batch:
        """Read images and labels, as they are drawn for epoch 0.

        Args:
            indices: Positions in this split, (n,).
            standardise: Subtract each band's mean and divide by its deviation; pixels without data
                become 0. Otherwise values are raw.

        Returns:
            Images (n, bands, height, width) float32, channels last in memory, and labels (n,)
            int64.
        """
        return gather_items(self, indices, seed=0, epoch=0, standardise=standardise)


def open_own(
    name: str, split: str, options: Mapping[str, Any], survey: Survey | None = None
) -> OwnDataset:
    """Open one split of a data set of the reader's own.

    Args:
        name: ``module:callable``; called with the options, and with ``split=`` where it has such an
            argument. Otherwise its samples are dealt 60/10/30, each class for itself, by a fixed
            seed; equal ones come into one split.
        split: "train", "validation" or "test".
        options: Arguments of the callable.
        survey: What an earlier pass over the samples has found; None: one is made.

    Returns:
        The split.

    Raises:
        ValueError: The callable cannot be imported or called, its samples are not labelled images
            of one shape, or there is no such split.
    """
    check_split(split, FRACTIONS)
    make = load_own("dataset", name)
    source = None
    if survey is None:
        sources = _open_all(name, make, options)
        survey = make_survey(name, sources)
        source = sources.by_split.get(split)
    if not len(survey.indices.get(split, ())):
        raise ValueError(f"`dataset` {name!r} has no samples for {split}; give it some.")
    if source is None:
        source = _open(name, make, options, split)
    return OwnDataset(source, split, survey, name)


def _open(name: str, make: Callable[..., Any], options: Mapping[str, Any], split: str) -> Any:
    """Call the reader's callable for a split, under the names that a split may have."""
    if not takes(make, "split"):
        return _called(name, lambda: make(**options))
    first: ValueError | None = None
    for called in (split, *_OTHER_NAMES.get(split, ())):
        try:
            return _called(name, lambda: make(**options, split=called))  # noqa: B023
        except ValueError as error:
            first = first or error
    assert first is not None
    raise first


def _called(name: str, make: Callable[[], Any]) -> Any:
    """Return a data set, or say what is wrong with it."""
    try:
        source = make()
    except Exception as error:
        raise ValueError(
            f"`dataset` {name!r} fails with its `dataset_options`: {type(error).__name__}: {error}."
        ) from error
    if not hasattr(source, "__len__") or not hasattr(source, "__getitem__"):
        raise ValueError(
            f"`dataset` {name!r} gives {type(source).__name__}; it must give an object with "
            f"__len__, and with __getitem__ that returns {SAMPLE}."
        )
    return source


def _open_all(name: str, make: Callable[..., Any], options: Mapping[str, Any]) -> Sources:
    """Return the object for each split that there is."""
    train = _open(name, make, options, "train")
    if not takes(make, "split"):
        return Sources(dict.fromkeys(SPLITS, train), is_one=True)
    sources = {"train": train}
    for split in SPLITS[1:]:
        with contextlib.suppress(ValueError):  # said when it is asked for
            sources[split] = _open(name, make, options, split)
    others = [source for split, source in sources.items() if split != "train"]
    is_one = bool(others) and all(source is train for source in others)
    return Sources(sources, is_one)


def function_of(key: str, value: Any) -> Any:
    """Return an option of a data set, and in place of a function's name the function.

    Args:
        key: Of the option.
        value: Of the option.

    Raises:
        ValueError: There is no function of this name.
    """
    if key in FUNCTIONS and is_own(value):
        return load_own(key, value)
    return value
