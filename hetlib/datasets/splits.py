"""Which image or pixel belongs to which split."""

import csv
from collections.abc import Sequence
from itertools import pairwise, product
from pathlib import Path

import numpy as np

from hetlib.datasets.types import File

SPLITS = ("train", "validation", "test")


def check(split: str, fractions: Sequence[float]) -> None:
    """Refuse an unknown split, or shares that are none."""
    if split not in SPLITS:
        raise ValueError(f"`split` must be one of {SPLITS}, got {split!r}.")
    if (
        len(fractions) != 3
        or fractions[0] <= 0
        or min(fractions) < 0
        or abs(sum(fractions) - 1) > 1e-6
    ):
        raise ValueError(
            f"`fractions` must be 3 shares (training > 0) that add up to 1, got {fractions!r}."
        )


Shape = tuple[int, int]  # height, width


def zones(
    shape: Shape, window: int, split_by: str, fractions: Sequence[float], block: int, seed: int
) -> np.ndarray:
    """Return the split of windows centred on each pixel, (height, width) int8, -1 for none; splits share no pixel."""
    until = np.cumsum(fractions)
    if split_by == "columns":
        edges, deal = [[0, shape[0]], [0, *np.rint(until * shape[1]).astype(int)]], np.arange(3)
    elif split_by == "blocks":
        edges = [[*range(0, size, block), size] for size in shape]
        cells = (len(edges[0]) - 1) * (len(edges[1]) - 1)
        deal = np.random.default_rng(seed).permutation(
            np.searchsorted(until[:2], (np.arange(cells) + 0.5) / cells)
        )
    else:
        raise ValueError(f"`split_by` must be 'columns' or 'blocks', got {split_by!r}.")
    half, gap = window // 2, (window + 1) // 2  # inner borders move in by half the gap
    spans = [
        [
            slice(low + half + gap * (low > 0), max(top + 1 - gap - gap * (top < size), 0))
            for low, top in pairwise(ends)
        ]
        for ends, size in zip(edges, shape, strict=True)
    ]
    out = np.full(shape, -1, np.int8)
    for cell, split in zip(product(*spans), deal, strict=True):
        out[cell] = split
    return out


def join_groups(twins: np.ndarray, table: File | None, names: Sequence[str]) -> np.ndarray:
    """Return ``twins`` (n,), where the images of each group in a ``file,group`` table also have one number."""
    together, places, firsts = (
        np.array(twins),
        {name: i for i, name in enumerate(names)},
        dict[str, int](),
    )
    for row in csv.DictReader(Path(table).read_text().splitlines() if table else ()):
        if row.get("file") not in places or not row.get("group"):
            raise ValueError(
                f"{table}: {row} must have `group` and `file`, a name such as {names[0]!r}."
            )
        place = places[row["file"]]
        together[together == together[place]] = together[firsts.setdefault(row["group"], place)]
    return together


def assign(
    labels: np.ndarray, together: np.ndarray, fractions: Sequence[float], seed: int
) -> np.ndarray:
    """Deal images into splits, (n,) int8: classes in the same shares, equal numbers in ``together`` into one."""
    out, sizes = np.zeros(len(labels), np.int8), np.bincount(labels)
    # (3, classes)
    wanted = np.diff(np.rint(np.outer(np.cumsum(fractions), sizes)), axis=0, prepend=0)
    _, counts = np.unique(together, return_counts=True)
    groups = np.split(np.argsort(together), np.cumsum(counts)[:-1])
    order = np.random.default_rng(seed).permutation(len(groups))
    # large ones first, each to where most is missing
    for group in order[np.argsort(-counts[order], kind="stable")]:
        members = groups[group]
        mine = np.bincount(labels[members], minlength=len(sizes))
        out[members] = best = np.argmax(wanted @ mine)
        wanted[best] -= mine
    return out
