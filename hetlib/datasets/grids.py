"""Whether two rasters lie on one grid: a matter of pixels, not of decimals."""

from typing import Any

import numpy as np

from hetlib.datasets.types import File

# Pixels by which corners of two grids may differ: rounding of a transform written as text is far
# below, half a pixel far above.
DISPLACED = 0.05

# Entries of a coordinate system in PROJ's words that say nothing about where a point is.
_SAYS_NOTHING = ("no_defs", "type", "wktext", "units")


def check_grid(raster: Any, scene: Any, labels: File, image: File) -> None:
    """Refuse labels on another grid than the scene's.

    Args:
        raster: The labels, opened.
        scene: The scene, opened.
        labels: Path of the labels, for the message.
        image: Path of the scene, for the message.

    Raises:
        ValueError: The shapes or coordinate systems differ, or the labels are displaced.
    """
    difference = difference_of(raster, scene)
    if difference:
        remedy = f"try `rio warp {labels} on_grid.tif --like {image} --resampling nearest`"
        if raster.shape == scene.shape and bool(raster.crs) != bool(scene.crs):
            without = image if raster.crs else labels
            remedy = f"write it into {without} (`rio edit-info --crs`) if you know that it is so"
        raise ValueError(
            f"{labels} is on another grid (CRS, shape, transform) than {image}: {difference}; "
            f"{remedy}."
        )


def difference_of(raster: Any, other: Any) -> str:
    """Return in words how the grids of two rasters differ; nothing where they are the same.

    Args:
        raster: Opened by rasterio.
        other: Another one, opened.
    """
    if raster.shape != other.shape:
        return f"it has {raster.shape} pixels, not {other.shape}"
    if not same_system(raster.crs, other.crs):
        return f"its CRS is {raster.crs}, not {other.crs}"
    moved = displacement(raster, other)
    if moved > DISPLACED:
        return (
            f"a corner is displaced by {moved:.3g} pixels: its transform is "
            f"{tuple(raster.transform[:6])}, not {tuple(other.transform[:6])}"
        )
    return ""


def same_system(one: Any, other: Any) -> bool:
    """Return whether two coordinate systems mean the same, however they are written.

    Args:
        one: Of rasterio; None where a raster has none.
        other: Another one.
    """
    if not one or not other:
        return not one and not other
    if one == other:
        return True
    words = in_words(one)
    return bool(words) and words == in_words(other)


def in_words(system: Any) -> dict[str, Any]:
    """Return what says where a point is in a coordinate system, in PROJ's words.

    Args:
        system: Of rasterio.
    """
    words = system.to_dict()
    if "init" in words:  # a number of EPSG, which was compared
        return {}
    kept = {key: value for key, value in words.items() if key not in _SAYS_NOTHING}
    if system.is_projected:
        kept["metres"] = system.linear_units_factor[1]
    return kept


def displacement(raster: Any, other: Any) -> float:
    """Return how far the corners of two rasters of one shape are apart at most.

    Args:
        raster: Opened by rasterio.
        other: Another one, opened.

    Returns:
        Distance in pixels of ``other``.
    """
    if other.transform.is_degenerate:
        return 0.0 if raster.transform == other.transform else float("inf")
    height, width = other.shape
    corners = np.array([(0, 0, 1), (width, 0, 1), (0, height, 1), (width, height, 1)]).T
    to_pixels = matrix_of(~other.transform) @ matrix_of(raster.transform)
    return float(np.abs(to_pixels @ corners - corners).max())


def matrix_of(transform: Any) -> np.ndarray:
    """Return a transform as a matrix, (3, 3), for (column, row, 1).

    Args:
        transform: Of a raster.
    """
    return np.array(tuple(transform)[:9]).reshape(3, 3)
