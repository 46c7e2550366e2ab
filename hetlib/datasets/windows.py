"""Windows of a scene: where their centres may be, which are drawn, and their pixels.

A scene is read twice, block by block: for the pixels that may be centres, and for the windows that
were drawn. What is held of it whole is a class and a split for each pixel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hetlib.datasets.bands import Bands, read_values
from hetlib.datasets.rasters import Block, blocks
from hetlib.datasets.splits import SPLITS, zones
from hetlib.datasets.statistics import moments, out_of_range
from hetlib.datasets.storage import Gaps, reserve
from hetlib.datasets.types import File, Range
from hetlib.datasets.window_options import STRATIFIED, WindowOptions

# Values of windows whose moments are computed at a time.
VALUES_AT_A_TIME = 1 << 20


@dataclass(frozen=True)
class Windows:
    """Windows that were drawn, as they come.

    Attributes:
        flat: Their centres in the scene's flat order, (n,).
        labels: Positions of their classes, (n,).
        splits: Positions in `SPLITS`, (n,).
    """

    flat: np.ndarray
    labels: np.ndarray
    splits: np.ndarray


def splits_of_centres(raster: Any, bands: Bands, options: WindowOptions) -> np.ndarray:
    """Return the split of windows by their centre; a centre has data in every band.

    Args:
        raster: The scene, opened.
        bands: What it says of its bands.
        options: Where the splits are, the stride, and the range of values.

    Returns:
        Positions in `SPLITS`, -1 for pixels that may be no centre, (height, width) int8.

    Raises:
        ValueError: No pixel is data in every band.
    """
    shape = raster.shape
    if options.split_by == STRATIFIED:
        splits = np.zeros(shape, np.int8)  # dealt when the classes are known
    else:
        splits = zones(
            shape,
            options.window,
            options.split_by,
            options.fractions,
            options.side(),
            options.seed,
        )
    if options.stride > 1:
        on_stride = np.zeros(shape, bool)
        on_stride[:: options.stride, :: options.stride] = True
        splits[~on_stride] = -1

    if bands.may_have_gaps or options.valid_range is not None:
        leave_out_gaps(splits, raster, bands, options.valid_range)
    return splits


def leave_out_gaps(splits: np.ndarray, raster: Any, bands: Bands, valid_range: Range) -> None:
    """Mark the pixels that are no data in some band, block by block.

    Args:
        splits: Positions in `SPLITS`, (height, width); -1 is put where there is no data.
        raster: The scene, opened.
        bands: What it says of its bands.
        valid_range: Lowest and highest value that is data; None is no limit.

    Raises:
        ValueError: None is left.
    """
    seen = False
    left = False
    for block in blocks(raster, bands):
        part = splits[block]
        if not (part >= 0).any():
            continue
        _, gaps = read_block(raster, bands, block, valid_range)
        if gaps is not None:
            part[gaps.any(2)] = -1
        seen = True
        left |= bool((part >= 0).any())
    if seen and not left:
        raise ValueError(
            f"{raster.name} has no pixel that is data in every band, as its nodata value, alpha "
            "and masks, NaN and `valid_range` say; leave out a band that is empty, or mend these."
        )


def read_block(
    raster: Any,
    bands: Bands,
    block: Block,
    valid_range: Range,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read a part of a scene, and where it is no data.

    Args:
        raster: The scene, opened.
        bands: What it says of its bands.
        block: The part.
        valid_range: Lowest and highest value that is data; None is no limit.

    Returns:
        Values (height, width, bands), and True where there is no data, of the same shape; None
        where all are data.
    """
    values, gaps = read_values(raster, bands, block.window())
    if valid_range is None:
        return values, gaps
    outside = out_of_range(values, valid_range)
    if gaps is not None:
        outside |= gaps
    return values, outside


def draw_windows(
    codes: np.ndarray,
    named: Mapping[int, str],
    splits: np.ndarray,
    options: WindowOptions,
    source: File,
) -> Windows:
    """Draw the centres of windows, for each split and class by itself.

    Args:
        codes: Class numbers, (height, width).
        named: The classes to use, by number.
        splits: Positions in `SPLITS`, -1 for none, (height, width).
        options: Shares, most windows of a class, and seed.
        source: Path of the labels, for the message.

    Returns:
        The windows, split by split, class by class, from top left to bottom right.

    Raises:
        ValueError: A class has no window for training or test.
    """
    rng = np.random.default_rng(options.seed)
    drawn = []
    for position, split in enumerate(SPLITS):
        needs_all = split != "validation" and options.fractions[position] > 0
        for label, (number, name) in enumerate(named.items()):
            found = (splits == position) & (codes == number)
            counts = np.count_nonzero(found, axis=1)
            total = int(counts.sum())
            if needs_all and not total:
                raise ValueError(
                    f"Class {name!r} of {source} has no window for {split}: leave it out with "
                    "`classes=`, or change `split_by`, `fractions`, `seed` or `window`."
                )
            size = min(options.per_class, total)
            chosen = np.sort(rng.choice(total, size, replace=False)) if total else EMPTY
            flat = places_of(found, counts, chosen)
            drawn.append(np.stack(np.broadcast_arrays(flat, label, position)))
    flat, labels, split_of = np.concatenate(drawn, axis=1)
    return Windows(flat, labels, split_of)


EMPTY = np.zeros(0, np.int64)


def places_of(found: np.ndarray, counts: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return where some of the pixels that were found are, without a list of all of them.

    Args:
        found: True for each, (height, width).
        counts: Of those in each row, (height,).
        chosen: Their numbers, counted from top left, in rising order, (n,).

    Returns:
        Their places in the flat order of the scene, (n,).
    """
    ends = np.cumsum(counts)
    rows = np.searchsorted(ends, chosen, side="right")
    flat = np.empty(len(chosen), np.int64)
    for row in np.unique(rows):
        here = rows == row
        first = ends[row] - counts[row]
        columns = np.flatnonzero(found[row])[chosen[here] - first]
        flat[here] = row * found.shape[1] + columns
    return flat


def cut_windows(
    folder: Path,
    raster: Any,
    bands: Bands,
    centres: np.ndarray,
    options: WindowOptions,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Cut windows out of a scene, into ``images.npy``, and ``gaps.npy`` where data are missing.

    Args:
        folder: Of the two files.
        raster: The scene, opened.
        bands: What it says of its bands.
        centres: Row and column of each window's centre, (n, 2).
        options: Size of a window, and the range of values.

    Returns:
        The windows (n, window, window, bands), and True where there is no data, of the same shape;
        None where all are data.
    """
    window = options.window
    shape = (len(centres), window, window, len(bands.numbers))
    images = reserve(folder / "images.npy", bands.type_of_values, shape)
    missing = Gaps(folder / "gaps.npy", shape)
    corners = centres - window // 2  # top left

    for block in blocks(raster, bands):
        inside = np.flatnonzero(are_inside(centres, block))
        if not len(inside):
            continue
        part = surrounding(corners[inside], window)
        values, gaps = read_block(raster, bands, part, options.valid_range)
        first = (part.rows.start, part.columns.start)
        for i in inside.tolist():
            row, column = corners[i] - first
            place = (slice(row, row + window), slice(column, column + window))
            images[i] = values[place]
            if gaps is not None:
                missing.put(i, gaps[place])
    return images, missing.of(slice(None))


def are_inside(centres: np.ndarray, block: Block) -> np.ndarray:
    """Return which centres are in a part of a scene.

    Args:
        centres: Rows and columns, (n, 2).
        block: The part.

    Returns:
        (n,) bool.
    """
    rows, columns = centres.T
    down = (rows >= block.rows.start) & (rows < block.rows.stop)
    across = (columns >= block.columns.start) & (columns < block.columns.stop)
    return down & across


def surrounding(corners: np.ndarray, window: int) -> Block:
    """Return the least part of a scene that holds some windows.

    Args:
        corners: Row and column of the top left pixel of each, (n, 2).
        window: Height and width of a window.
    """
    top, left = corners.min(0).tolist()
    bottom, right = (corners.max(0) + window).tolist()
    return Block(slice(top, bottom), slice(left, right))


def moments_of_windows(images: np.ndarray, gaps: np.ndarray | None) -> np.ndarray:
    """Return count, sum and sum of squares of each window's valid pixels, some at a time.

    Args:
        images: (n, window, window, bands).
        gaps: True where there is no data, of the same shape; None where all are data.

    Returns:
        (n, 3, bands) float64.
    """
    step = max(1, VALUES_AT_A_TIME // images[0].size)
    out = []
    for start in range(0, len(images), step):
        now = slice(start, start + step)
        out.append(moments(images[now], None if gaps is None else gaps[now]))
    return np.concatenate(out)
