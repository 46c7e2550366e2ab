"""What training needs of a data set, found out by a pass over its samples."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hetlib.datasets.samples import check_shape, read_sample, seed_generators
from hetlib.datasets.scenefolder import COLOURS, find_twins
from hetlib.datasets.splits import SPLITS, assign
from hetlib.datasets.statistics import mean_and_deviation, moments
from hetlib.files import fingerprint
from hetlib.randomness import random_states_kept

# Where one object holds all samples: shares of training, validation and test, and what draws them.
FRACTIONS = (0.6, 0.1, 0.3)
SPLIT_SEED = 0


@dataclass(frozen=True)
class Survey:
    """What a pass over all samples of a data set has found.

    Attributes:
        checksum: SHA-256 of the samples of all splits.
        classes: Names of the classes, in the order of their labels.
        bands: Names of the bands.
        image_shape: Bands, height, width.
        mean: Of the training split's valid pixels, (bands,) float32.
        std: Their deviation, (bands,) float32; 1 for a constant band.
        labels: Of the samples of each split, (n,) int64.
        indices: Of the samples of each split in the reader's object, (n,).
    """

    checksum: str
    classes: tuple[str, ...]
    bands: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: np.ndarray
    std: np.ndarray
    labels: Mapping[str, np.ndarray]
    indices: Mapping[str, np.ndarray]


class Sources(NamedTuple):
    """The objects that a reader's callable gives.

    Attributes:
        by_split: The object of each split that there is.
        is_one: Whether that is one and the same object, which is dealt into splits here.
    """

    by_split: Mapping[str, Any]
    is_one: bool


class _Scan(NamedTuple):
    """What one pass over an object found: a digest, moments (n, 3, bands), labels (n,), a shape."""

    digest: str
    moments: np.ndarray
    labels: np.ndarray
    shape: tuple[int, int, int]


def make_survey(name: str, sources: Sources) -> Survey:
    """Find out what training needs of a data set, by a pass over its samples.

    Args:
        name: Of the callable, for messages.
        sources: The object of each split.

    Raises:
        ValueError: Samples are no labelled images of one shape, or there are none.
    """
    train = sources.by_split["train"]
    if sources.is_one:
        first = _scan(train, name)
        indices = _deal(first)
        scans = dict.fromkeys(indices, first)
    else:
        scans = _scan_all(name, sources.by_split)
        first = scans["train"]
        indices = {split: np.arange(len(scan.labels)) for split, scan in scans.items()}

    bands = _bands(train, first.shape[0])
    summed = first.moments[indices["train"]].sum(0)
    mean, std = mean_and_deviation(summed, bands)
    most = max(int(scan.labels.max()) for scan in scans.values())
    return Survey(
        checksum=fingerprint([scan.digest for scan in scans.values()]),
        classes=_classes(train, most, name),
        bands=bands,
        image_shape=first.shape,
        mean=mean,
        std=std,
        labels={split: scan.labels[indices[split]] for split, scan in scans.items()},
        indices=indices,
    )


def _scan_all(name: str, sources: Mapping[str, Any]) -> dict[str, _Scan]:
    """Read the object of each split once."""
    scans: dict[str, _Scan] = {}
    for split, source in sources.items():
        scans[split] = _scan(source, name)
        if scans[split].shape != scans["train"].shape:
            raise ValueError(
                f"`dataset` {name!r} has images {scans[split].shape} for {split} and "
                f"{scans['train'].shape} for train; bring all to one shape."
            )
    return scans


def _scan(source: Any, name: str) -> _Scan:
    """Read all samples once, each drawn for epoch 0."""
    count = len(source)
    if not count:
        raise ValueError(f"`dataset` {name!r} has no samples; its length is 0.")
    digest = hashlib.sha256()
    rows = []
    labels = []
    shape: tuple[int, ...] | None = None
    with random_states_kept():
        for place in range(count):
            seed_generators(0, 0, place)
            sample = read_sample(source, place, name)
            shape = shape or sample.image.shape
            check_shape(sample, shape, f"sample {place} of {name}")
            digest.update(f"{sample.label} {shape}".encode())
            digest.update(sample.image.tobytes())
            pixels = sample.image.transpose(1, 2, 0)[None]
            rows.append(moments(pixels, ~np.isfinite(pixels))[0])
            labels.append(sample.label)
    assert shape is not None
    bands, height, width = shape
    found = np.array(labels, dtype=np.int64)
    return _Scan(digest.hexdigest(), np.stack(rows), found, (bands, height, width))


def _deal(scan: _Scan) -> dict[str, np.ndarray]:
    """Deal the samples of one object into our splits; equal images come into one."""
    assigned = assign(scan.labels, find_twins(scan.moments), FRACTIONS, SPLIT_SEED)
    return {split: np.flatnonzero(assigned == place) for place, split in enumerate(SPLITS)}


def _bands(source: Any, count: int) -> tuple[str, ...]:
    """Return the bands' names: the object's own where they fit, else usual ones, else numbers."""
    given = getattr(source, "bands", None)
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == count:
        return tuple(str(band) for band in given)
    numbers = tuple(str(i + 1) for i in range(count))
    return COLOURS.get(count, numbers)


def _classes(source: Any, most: int, name: str) -> tuple[str, ...]:
    """Return the classes' names: the object's own, else numbered ones."""
    given = getattr(source, "classes", None)
    if given is None or isinstance(given, str) or not isinstance(given, Sequence):
        return tuple(f"class {number}" for number in range(most + 1))
    if most >= len(given):
        raise ValueError(
            f"`dataset` {name!r} has the label {most}, and its `classes` are {list(given)}; "
            "labels must be positions in them."
        )
    return tuple(str(one) for one in given)
