"""Which image or pixel belongs to which split."""

from collections.abc import Sequence
from itertools import pairwise, product
from typing import TypeAlias

import numpy as np

from hetlib.containers import items
from hetlib.datasets.types import File
from hetlib.errors import shown
from hetlib.inputs import number
from hetlib.reading import read_csv

SPLITS = ("train", "validation", "test")

# How far the shares' sum may be from 1 by rounding.
TOLERANCE = 1e-6

# Height, width.
Shape: TypeAlias = tuple[int, int]


def check_split(split: str, fractions: Sequence[float]) -> None:
    """Refuse an unknown split, or shares that are none.

    Args:
        split: Its name.
        fractions: Shares of training, validation and test.

    Raises:
        ValueError: ``split`` is none of `SPLITS`, or ``fractions`` are not three shares of 1, of
            which training has some.
    """
    if not isinstance(split, str) or split not in SPLITS:
        raise ValueError(f"`split` must be one of {SPLITS}, got {shown(split)}.")
    try:
        shares = items("fractions", fractions, number, count=len(SPLITS))
    except ValueError:
        shares = ()
    if not shares or not are_shares(shares):
        raise ValueError(
            f"`fractions` must be 3 shares (training > 0) that add up to 1, got {shown(fractions)}."
        )


def are_shares(fractions: Sequence[float]) -> bool:
    """Return whether the numbers are shares of 1, the first of them above 0.

    Args:
        fractions: Any numbers.
    """
    whole = abs(sum(fractions) - 1) <= TOLERANCE
    return whole and fractions[0] > 0 and min(fractions) >= 0


def zones(
    shape: Shape,
    window: int,
    split_by: str,
    fractions: Sequence[float],
    block: int,
    seed: int,
) -> np.ndarray:
    """Return the split of windows by their centre; windows of different splits share no pixel.

    The scene is cut into cells, and each cell belongs to one split. Inside the scene, a cell's
    borders move in by half a window.

    Args:
        shape: Height and width of the scene.
        window: Height and width of a window.
        split_by: ``"columns"``: training left, test right; ``"blocks"``: squares dealt by the seed.
        fractions: Shares of training, validation and test in the scene.
        block: Height and width of a square.
        seed: Deals the squares.

    Returns:
        Positions in `SPLITS`, -1 for none, (height, width) int8.

    Raises:
        ValueError: ``split_by`` is none of these.
    """
    if split_by == "columns":
        rows, columns = column_edges(shape, fractions)
        deal = np.arange(len(SPLITS))
    elif split_by == "blocks":
        rows = block_edges(shape[0], block)
        columns = block_edges(shape[1], block)
        cells = (len(rows) - 1) * (len(columns) - 1)
        deal = deal_blocks(cells, fractions, seed)
    else:
        raise ValueError(
            f"`split_by` must be 'columns', 'blocks' or 'stratified', got {split_by!r}."
        )

    height, width = shape
    down = centre_spans(rows, height, window)
    across = centre_spans(columns, width, window)
    out = np.full(shape, -1, np.int8)
    for cell, split in zip(product(down, across), deal, strict=True):
        out[cell] = split
    return out


def column_edges(shape: Shape, fractions: Sequence[float]) -> tuple[list[int], list[int]]:
    """Return the borders of one cell a split, from left to right.

    Args:
        shape: Height and width of the scene.
        fractions: Shares of the splits in its width.

    Returns:
        Borders of the rows and of the columns.
    """
    height, width = shape
    until = np.cumsum(fractions)
    borders = np.rint(until * width).astype(int)
    return [0, height], [0, *borders]


def block_edges(size: int, block: int) -> list[int]:
    """Return the borders of blocks along one side; the last may be smaller.

    Args:
        size: Length of the side.
        block: Length of a block.
    """
    return [*range(0, size, block), size]


def deal_blocks(cells: int, fractions: Sequence[float], seed: int) -> np.ndarray:
    """Return the split of each block: as many as the shares say, in an order drawn by the seed.

    Args:
        cells: Number of blocks.
        fractions: Shares of the splits.
        seed: Draws the order.

    Returns:
        Positions in `SPLITS`, (cells,).
    """
    until = np.cumsum(fractions)
    middles = (np.arange(cells) + 0.5) / cells
    splits = np.searchsorted(until[:2], middles)
    return np.random.default_rng(seed).permutation(splits)


def centre_spans(edges: Sequence[int], size: int, window: int) -> list[slice]:
    """Return where the centres of windows may be in each cell along one side of the scene.

    At the scene's ends a window must fit in; at inner borders half the gap is kept on each side, so
    that windows on both sides are a window apart.

    Args:
        edges: Borders of the cells.
        size: Length of the side.
        window: Height or width of a window.

    Returns:
        A span for each cell, empty where none fits.
    """
    half = window // 2
    gap = (window + 1) // 2
    spans = []
    for low, top in pairwise(edges):
        first = low + half + gap * (low > 0)
        end = top + 1 - gap - gap * (top < size)
        spans.append(slice(first, max(end, 0)))
    return spans


def join_groups(
    twins: np.ndarray,
    table: File | None,
    names: Sequence[str],
) -> np.ndarray:
    """Return which images must come into one split: equal ones, and those of one group.

    Args:
        twins: Equal images have equal numbers, (n,).
        table: CSV with the columns ``file`` and ``group``; None is no groups.
        names: Of the images, (n,), as in the column ``file``.

    Returns:
        Images that belong together have equal numbers, (n,).

    Raises:
        ValueError: The table cannot be read, or a row of it names no image or no group.
    """
    together = np.array(twins)
    if table is None:
        return together

    places = {name: i for i, name in enumerate(names)}
    firsts: dict[str, int] = {}  # of each group
    for line, row in read_csv(table, ("file", "group"), what="`groups`"):
        if row["file"] not in places or not row["group"]:
            raise ValueError(
                f"{table}: line {line}: {row} must have `group` and `file`, a name such as "
                f"{names[0]!r}."
            )
        place = places[row["file"]]
        first = firsts.setdefault(row["group"], place)
        together[together == together[place]] = together[first]
    return together


def assign(
    labels: np.ndarray,
    together: np.ndarray,
    fractions: Sequence[float],
    seed: int,
) -> np.ndarray:
    """Deal images into splits, each class in the same shares.

    Groups are dealt whole: large ones first, each to where most images of its classes are missing.

    Args:
        labels: Class of each image, (n,).
        together: Images with equal numbers come into one split, (n,).
        fractions: Shares of training, validation and test.
        seed: Draws the order of groups of equal size.

    Returns:
        Positions in `SPLITS`, (n,) int8.
    """
    sizes = np.bincount(labels)
    until = np.rint(np.outer(np.cumsum(fractions), sizes))
    missing = np.diff(until, axis=0, prepend=0)  # (3, classes)

    _, counts = np.unique(together, return_counts=True)
    borders = np.cumsum(counts)[:-1]
    groups = np.split(np.argsort(together), borders)
    order = np.random.default_rng(seed).permutation(len(groups))
    largest_first = order[np.argsort(-counts[order], kind="stable")]

    out = np.zeros(len(labels), np.int8)
    for group in largest_first:
        members = groups[group]
        classes = np.bincount(labels[members], minlength=len(sizes))
        best = np.argmax(missing @ classes)
        out[members] = best
        missing[best] -= classes
    return out
