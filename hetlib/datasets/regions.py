"""Regions of a scene, dealt to the splits so that each class is in each and no pixel in two.

A region is a square of the scene, or a polygon with what surrounds it, and comes into one split. A
window belongs to a split where every pixel that it covers does. So neighbours of one split lose no
window between them, and windows of two splits share no pixel.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from hetlib.datasets.deals import coverings, deal_regions, within
from hetlib.datasets.rasters import open_raster
from hetlib.datasets.splits import SPLITS, Shape
from hetlib.datasets.types import File


def stratified_splits(
    codes: np.ndarray,
    named: Mapping[int, str],
    usable: np.ndarray,
    *,
    window: int,
    regions: File | int | np.ndarray,
    fractions: Sequence[float],
    seed: int,
) -> np.ndarray:
    """Return the split of windows by their centre, each class in each split.

    Args:
        codes: Class numbers, (height, width).
        named: The classes to use, by number.
        usable: True for pixels that may be a centre, (height, width).
        window: Height and width of a window.
        regions: Height and width of squares, in pixels; or numbers of the regions, 0 for none,
            (height, width), or the path of a raster of them.
        fractions: Shares of training, validation and test.
        seed: Deals the regions.

    Returns:
        Positions in `SPLITS`, -1 where there is no centre, (height, width) int8.

    Raises:
        ValueError: A class cannot be in each split, or the raster of regions is not allowed.
    """
    shape = (codes.shape[0], codes.shape[1])
    labels = np.full(shape, -1, np.int16)
    for label, number in enumerate(named):
        labels[usable & (codes == number)] = label
    if isinstance(regions, int):
        numbers = squares(shape, regions)
    elif isinstance(regions, np.ndarray):
        numbers = surrounded(regions, window)
    else:
        numbers = surrounded(read_regions(regions, shape), window)

    covered = coverings(numbers, labels, window)
    count = int(numbers.max(initial=-1)) + 1
    splits = deal_regions(covered, count, len(named), fractions, seed)
    centres = split_of_centres(numbers, splits, window)
    centres[~usable] = -1
    check_classes(centres, labels, list(named.values()), fractions)
    return centres


def squares(shape: Shape, block: int) -> np.ndarray:
    """Number the squares of a scene, row by row; the last of a row or column may be smaller.

    Args:
        shape: Height and width of the scene.
        block: Height and width of a square.

    Returns:
        (height, width) int32.
    """
    down = np.arange(shape[0]) // block
    across = np.arange(shape[1]) // block
    return (down[:, None] * (across[-1] + 1) + across).astype(np.int32)


def grown(regions: np.ndarray, reach: int) -> np.ndarray:
    """Give the surroundings of regions to the nearest one.

    Args:
        regions: Numbers of the regions, -1 outside, (height, width).
        reach: How far regions grow, in pixels, also diagonally.

    Returns:
        Numbers of the regions, -1 for what is farther, (height, width).
    """
    out = regions.copy()
    for _ in range(reach):
        for axis in (0, 1):  # a step along each axis is a step to all eight neighbours
            before = out.copy()
            source = np.moveaxis(before, axis, 0)
            target = np.moveaxis(out, axis, 0)
            for to, origin in (
                (slice(1, None), slice(None, -1)),
                (slice(None, -1), slice(1, None)),
            ):
                free = target[to] < 0
                np.copyto(target[to], source[origin], where=free)
    return out


def read_regions(path: File, shape: Shape) -> np.ndarray:
    """Read a raster of regions.

    Args:
        path: GeoTIFF of one band of whole numbers; 0 is in no region.
        shape: Height and width of the scene.

    Returns:
        (height, width).

    Raises:
        ValueError: It is on another grid than the scene, or no band of whole numbers.
    """
    with open_raster(path) as raster:
        if raster.shape != shape or not np.issubdtype(raster.dtypes[0], np.integer):
            raise ValueError(
                f"{path} must be whole numbers of regions on the scene's grid, of {shape} pixels, "
                f"got {raster.shape} of {raster.dtypes[0]}; try `rio warp --like` with "
                "`--resampling nearest`."
            )
        return raster.read(1)


def surrounded(codes: np.ndarray, window: int) -> np.ndarray:
    """Number regions, and give what surrounds them, half a window wide, to the nearest.

    Args:
        codes: Any numbers, 0 for none, (height, width).
        window: Height and width of a window.

    Returns:
        Numbers of the regions from 0, -1 for none, (height, width) int32.
    """
    numbers, places = np.unique(codes, return_inverse=True)
    regions = places.reshape(codes.shape).astype(np.int32)
    if 0 in numbers:
        zero = int(np.searchsorted(numbers, 0))
        regions[regions == zero] = -1
        regions[regions > zero] -= 1
    return grown(regions, window // 2)


def split_of_centres(regions: np.ndarray, splits: np.ndarray, window: int) -> np.ndarray:
    """Return the split of each window by its centre.

    Args:
        regions: Numbers of the regions, -1 outside, (height, width).
        splits: Position in `SPLITS` of each region, (regions,).
        window: Height and width of a window.

    Returns:
        Positions in `SPLITS`, -1 where a window leaves the scene, its split, or all regions,
        (height, width) int8.
    """
    outside = np.int8(-1)
    of_pixels = np.where(regions < 0, outside, splits[regions].astype(np.int8))
    out = np.full(regions.shape, outside, np.int8)
    if min(regions.shape) < window:
        return out
    lowest = over_windows(of_pixels, window, np.minimum)
    highest = over_windows(of_pixels, window, np.maximum)
    out[within(regions.shape, window)] = np.where(lowest == highest, lowest, outside)
    return out


def over_windows(values: np.ndarray, window: int, reduce: np.ufunc) -> np.ndarray:
    """Reduce every window of a scene to one value.

    Args:
        values: (height, width).
        window: Height and width of a window.
        reduce: Takes two arrays, such as ``np.minimum``.

    Returns:
        (height - window + 1, width - window + 1).
    """
    for axis in (0, 1):
        turned = np.moveaxis(values, axis, 0)
        size = len(turned) - window + 1
        out = turned[:size].copy()
        for shift in range(1, window):
            reduce(out, turned[shift : shift + size], out=out)
        values = np.moveaxis(out, 0, axis)
    return values


def check_classes(
    centres: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    fractions: Sequence[float],
) -> None:
    """Refuse splits of which one with a share has no window of a class.

    Args:
        centres: Position in `SPLITS` of each window by its centre, -1 for none, (height, width).
        labels: Position of the class of each pixel that may be a centre, -1 elsewhere,
            (height, width).
        classes: Names of the classes.
        fractions: Shares of training, validation and test.

    Raises:
        ValueError: A class is not in each split.
    """
    drawn = (centres >= 0) & (labels >= 0)
    cells = centres[drawn] * np.int64(len(classes)) + labels[drawn]
    counts = np.bincount(cells, minlength=len(SPLITS) * len(classes))
    counts = counts.reshape(len(SPLITS), len(classes))
    used = np.array(fractions) > 0
    lacking = np.flatnonzero((counts[used] == 0).any(axis=0))
    if not len(lacking):
        return

    found = []
    for label in lacking:
        each = zip(SPLITS, counts[:, label], strict=True)
        of_splits = ", ".join(f"{split} {count}" for split, count in each)
        name = classes[int(label)]
        found.append(f"{name!r} ({of_splits} windows)")
    raise ValueError(
        f"No deal of the regions has each class in each split; the best one lacks "
        f"{', '.join(found)}. Leave such a class out by `classes=`, take a smaller `window`, other "
        "regions (`block=`), another `seed`, or do without a split: `fractions=(0.7, 0, 0.3)`."
    )
