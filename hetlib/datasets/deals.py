"""Regions dealt to the splits at random, and mended until each class is in each split.

The seed deals the regions, as many as the shares say. Where a class then has too few windows in a
split, regions that hold it are moved there, one by one, as long as that mends more than it breaks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from hetlib.datasets.splits import SPLITS, Shape, deal_blocks

# Of its fair share, how much of a class a split must have before nothing is moved: a seed's deal
# stays mostly as it was drawn.
ENOUGH = 0.5

# Pixels of a class that are looked at, evenly spread, where it has more: 10,000 x 10,000 pixels
# would take minutes.
LOOKED_AT = 20_000

# Most rows and columns of a window that are looked at.
ROWS = 16

# Windows whose regions are compared at a time.
AT_A_TIME = 20_000

# Moves that are tried in a deal, and deals that are begun with, before a class is given up after
# some seconds.
MOVES = 1_500
DEALS = 4


class Coverings(NamedTuple):
    """How many windows of a class cover the same regions.

    Attributes:
        regions: Numbers of the regions; the first is repeated where there are fewer, (n, most).
        labels: Positions of the classes, (n,).
        counts: Numbers of windows, (n,).
    """

    regions: np.ndarray
    labels: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class Wanted:
    """What a deal is to reach.

    Attributes:
        least: Windows of each class that a split is to have, (3, classes).
    """

    least: np.ndarray

    @classmethod
    def fair(cls, covered: Coverings, classes: int, fractions: Sequence[float]) -> "Wanted":
        """Want `ENOUGH` of each split's share of each class, and one window at least.

        Args:
            covered: All windows.
            classes: Number of classes.
            fractions: Shares of training, validation and test.
        """
        total = np.bincount(covered.labels, weights=covered.counts, minlength=classes)
        shares = np.array(fractions)[:, None]
        least = np.maximum(ENOUGH * shares * total, 1)
        return cls(np.where(shares > 0, least, 0))

    def score(self, counts: np.ndarray) -> float:
        """Return how far a deal is from it: 0 has all, 1 and more lack a class somewhere.

        Args:
            counts: Windows of each class in each split, (3, classes).
        """
        missing = (counts == 0) & (self.least > 0)
        share = counts / np.maximum(self.least, 1)
        short = np.where(self.least > 0, np.maximum(1 - share, 0), 0)
        return float(missing.sum() + np.square(short).mean())


def coverings(regions: np.ndarray, labels: np.ndarray, window: int) -> Coverings:
    """Count the windows by their class and the regions that they cover.

    Args:
        regions: Numbers of the regions, (height, width).
        labels: Position of the class of each pixel that may be a centre, -1 elsewhere,
            (height, width).
        window: Height and width of a window.
    """
    centres, counts = centres_to_look_at(labels, window)
    steps_apart = 1 + (window - 1) // ROWS
    offsets = np.unique([*range(0, window, steps_apart), window - 1]) - window // 2
    down, across = np.meshgrid(offsets, offsets, indexing="ij")
    steps = down.ravel() * labels.shape[1] + across.ravel()

    flat = regions.ravel()
    parts = []
    for start in range(0, len(centres), AT_A_TIME):
        places = centres[start : start + AT_A_TIME, None] + steps
        parts.append(distinct(flat[places]))
    if not parts:
        nothing = np.zeros(0, np.int64)
        return Coverings(np.zeros((0, 1), np.int64), nothing, nothing)

    most = max(part.shape[1] for part in parts)
    covered = np.concatenate([widened(part, most) for part in parts])
    of_class = labels.ravel()[centres]
    rows = np.column_stack([of_class, covered])
    alike, place = np.unique(rows, axis=0, return_inverse=True)
    summed = np.bincount(place.ravel(), weights=counts)
    return Coverings(alike[:, 1:], alike[:, 0], summed)


def centres_to_look_at(labels: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return centres of windows within the scene, and how many of its class each stands for.

    Args:
        labels: Position of the class of each pixel that may be a centre, -1 elsewhere,
            (height, width).
        window: Height and width of a window.

    Returns:
        Positions in the scene's flat order, (n,), and numbers of windows, (n,).
    """
    inside = np.full(labels.shape, -1, np.int64)
    fits = within(labels.shape, window)
    inside[fits] = labels[fits]
    centres = []
    counts = []
    for label in range(labels.max(initial=-1) + 1):
        found = np.flatnonzero(inside == label)
        step = 1 + len(found) // LOOKED_AT
        centres.append(found[::step])
        counts.append(np.full(len(found[::step]), step))
    nothing = np.zeros(0, np.int64)
    return np.concatenate([nothing, *centres]), np.concatenate([nothing, *counts])


def within(shape: Shape, window: int) -> tuple[slice, slice]:
    """Return where the centres of windows that lie within a scene are.

    Args:
        shape: Height and width of the scene.
        window: Height and width of a window.
    """
    half = window // 2
    down, across = (slice(half, max(half + size - window + 1, half)) for size in shape)
    return down, across


def distinct(rows: np.ndarray) -> np.ndarray:
    """Return each row's different numbers, the first one repeated where a row has fewer.

    Args:
        rows: (n, any).

    Returns:
        (n, most).
    """
    ordered = np.sort(rows, axis=1)
    repeated = ordered[:, 1:] == ordered[:, :-1]
    lowest = ordered[:, :1]
    ordered[:, 1:][repeated] = np.broadcast_to(lowest, repeated.shape)[repeated]
    ordered.sort(axis=1)
    most = ordered.shape[1] - int(repeated.sum(axis=1).min())
    return ordered[:, -most:]  # the repeated ones are the lowest, and lie in front


def widened(rows: np.ndarray, width: int) -> np.ndarray:
    """Repeat the first number of each row, in front, until rows are of one width.

    Args:
        rows: (n, at most width).
        width: Numbers of a row.
    """
    return np.pad(rows, ((0, 0), (width - rows.shape[1], 0)), mode="edge")


def windows_of(covered: Coverings, splits: np.ndarray, classes: int) -> np.ndarray:
    """Return how many windows of each class are in each split.

    Args:
        covered: The windows.
        splits: Position in `SPLITS` of each region, (regions,).
        classes: Number of classes.

    Returns:
        (3, classes).
    """
    found = splits[covered.regions]
    whole = (found == found[:, :1]).all(axis=1)
    cells = found[whole, 0] * classes + covered.labels[whole]
    size = len(SPLITS) * classes
    counts = np.bincount(cells, weights=covered.counts[whole], minlength=size)
    return counts.reshape(len(SPLITS), classes)


def deal_regions(
    covered: Coverings,
    regions: int,
    classes: int,
    fractions: Sequence[float],
    seed: int,
) -> np.ndarray:
    """Deal regions to the splits so that each class is in each that has a share, if it can be.

    Args:
        covered: The windows, by class and regions.
        regions: Number of regions.
        classes: Number of classes.
        fractions: Shares of training, validation and test.
        seed: Draws the deal.

    Returns:
        Position in `SPLITS` of each region, (regions,).
    """
    wanted = Wanted.fair(covered, classes, fractions)
    rng = np.random.default_rng(seed)
    seeds = [seed, *rng.integers(2**32, size=DEALS - 1)]
    deals = []
    for drawn in seeds:
        start = deal_blocks(regions, fractions, int(drawn))
        splits, short = mended(start, covered, wanted, rng)
        deals.append((short, splits))
        if short == 0:
            break
    _, best = min(deals, key=itemgetter(0))
    return best


def mended(
    splits: np.ndarray,
    covered: Coverings,
    wanted: Wanted,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float]:
    """Move regions that hold a class into splits that have too little of it.

    Args:
        splits: Position in `SPLITS` of each region, (regions,).
        covered: The windows, by class and regions.
        wanted: What is to be reached.
        rng: Draws what is tried.

    Returns:
        The splits, and how far they are from what is wanted.
    """
    splits = splits.copy()
    classes = wanted.least.shape[1]
    holders = []
    for label in range(classes):
        holders.append(np.unique(covered.regions[covered.labels == label]))
    counts = windows_of(covered, splits, classes)
    score = wanted.score(counts)
    for _ in range(MOVES):
        if score == 0:
            break
        short = np.argwhere(counts < wanted.least)
        split, label = short[rng.integers(len(short))]
        if not len(holders[label]):
            break
        region = rng.choice(holders[label])
        before = splits[region]
        splits[region] = split
        tried = windows_of(covered, splits, classes)
        tried_score = wanted.score(tried)
        if tried_score > score:
            splits[region] = before
        else:
            counts = tried
            score = tried_score
    return splits, score
