"""The data sets that are looked at: splits, images of each class, how far apart splits lie."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from hetlib.datasets import load_dataset
from hetlib.datasets.catalog import is_scene
from hetlib.datasets.splits import SPLITS
from hetlib.errors import DatasetNotFoundError
from hetlib.training.opening import Data
from hetlib_bundle.profiles import Profile
from hetlib_bundle.studies.maps import Scene, open_scene

Splits = Mapping[str, Data]  # by name: train, validation, test


class Opened(NamedTuple):
    """Data sets that are there, and why others are not used.

    Attributes:
        data: The splits by data set.
        left_out: The reason by data set.
    """

    data: dict[str, Splits]
    left_out: dict[str, str]


def open_splits(
    names: Sequence[str],
    size: Profile,
    *,
    must: bool,
) -> Opened:
    """Open all splits of some data sets.

    Args:
        names: Of the data sets.
        size: Whose options they are opened with.
        must: Whether all have to be there; otherwise a missing one is left out.

    Raises:
        DatasetNotFoundError: One that must be there is missing.
    """
    data: dict[str, Splits] = {}
    left_out = {}
    for name in names:
        options = size.dataset_options(name)
        try:
            splits = {split: load_dataset(name, split, **options) for split in SPLITS}
        except DatasetNotFoundError as error:
            if must:
                raise
            left_out[name] = str(error)
        else:
            data[name] = splits
    return Opened(data, left_out)


def open_scenes(names: Iterable[str], size: Profile) -> list[Scene]:
    """Open those of some data sets that are windows of a scene, as scenes."""
    found = [name for name in names if is_scene(name)]
    return [open_scene(name, **size.dataset_options(name)) for name in found]


def described(name: str, splits: Splits) -> str:
    """Say in one sentence what the images are, how many there are, and from which source."""
    first = splits["train"]
    bands, height, width = first.image_shape
    shape = f"{bands} bands, {height} x {width} pixels, {len(first.classes)} classes"
    sizes = ", ".join(f"{len(part)} {split}" for split, part in splits.items())
    return f"{name}: {shape}; {sizes}; checksum of the source {first.checksum[:12]}."


def class_counts(data: Mapping[str, Splits]) -> pd.DataFrame:
    """Return one row a data set and class: the number of images in each split."""
    rows = []
    for name, splits in data.items():
        for label, known in enumerate(splits["train"].classes):
            row = {"dataset": name, "class": known}
            for split, part in splits.items():
                row[split] = int((part.labels == label).sum())
            rows.append(row)
    return pd.DataFrame(rows)


def smallest_gap(splits: Splits) -> int:
    """Return the smallest distance of windows' centres of two splits, in pixels along an axis."""
    centres = [part.centres for part in splits.values()]  # type: ignore[union-attr]
    pairs = combinations(centres, 2)
    return min(_nearest(one, other) for one, other in pairs)


def _nearest(one: np.ndarray, other: np.ndarray) -> int:
    """Return the smallest Chebyshev distance of two sets of pixels, (n, 2) and (m, 2)."""
    apart = abs(one[:, None] - other[None])  # (n, m, 2)
    return apart.max(2).min()
