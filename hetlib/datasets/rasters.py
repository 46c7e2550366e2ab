"""Scenes and their labels, read from GeoTIFFs."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from hetlib.datasets.types import Classes, File
from hetlib.errors import require

# A tag of this name and a class number holds the class's name.
TAG = "CLASS_"

# Decimals to which two rasters' transforms must agree.
DECIMALS = 6


class Scene(NamedTuple):
    """A raster, read whole.

    Attributes:
        pixels: (height, width, bands), in the file's own type.
        bands: The bands' descriptions, numbers from 1 where there are none.
        nodata: The value that stands for no data, if there is one.
    """

    pixels: np.ndarray
    bands: tuple[str, ...]
    nodata: float | None


def read_scene(image: File) -> Scene:
    """Read a raster with any number of bands.

    Args:
        image: A GeoTIFF.

    Returns:
        Its pixels, the bands' names and the nodata value.
    """
    rasterio = require("rasterio", "data")
    with rasterio.open(image) as raster:
        bands = tuple(name or str(i) for i, name in enumerate(raster.descriptions, 1))
        pixels = np.ascontiguousarray(raster.read().transpose(1, 2, 0))
        return Scene(pixels, bands, raster.nodata)


def read_labels(
    labels: File,
    image: File,
    classes: Classes,
) -> tuple[np.ndarray, dict[int, str]]:
    """Read the class of each pixel of a scene, and the names of the classes to use.

    Args:
        labels: GeoTIFF of one band of class numbers, on the scene's grid; 0 is unlabelled.
        image: The scene.
        classes: Names of those to use, or their names by number; None is all.

    Returns:
        Class numbers (height, width) int64, and the names by number.

    Raises:
        ValueError: The grids differ, the labels are no whole numbers, or a class is unknown.
    """
    rasterio = require("rasterio", "data")
    with rasterio.open(labels) as raster:
        with rasterio.open(image) as scene:
            check_grid(raster, scene, labels, image)
        if raster.count != 1 or not np.issubdtype(raster.dtypes[0], np.integer):
            raise ValueError(f"{labels} must be one band of whole numbers, got {raster.dtypes}.")
        codes = raster.read(1).astype(np.int64)
        codes[codes == raster.nodata] = 0
        tags = raster.tags()

    if isinstance(classes, Mapping):
        return codes, dict(classes)

    named = names_in_tags(tags)
    if not named:
        numbers = np.unique(codes)
        named = {int(number): f"class {number}" for number in numbers if number}
    return codes, chosen_classes(named, classes, labels)


def check_grid(raster: Any, scene: Any, labels: File, image: File) -> None:
    """Refuse labels on another grid than the scene's.

    Args:
        raster: The labels, opened.
        scene: The scene, opened.
        labels: Path of the labels, for the message.
        image: Path of the scene, for the message.

    Raises:
        ValueError: The coordinate systems, shapes or transforms differ.
    """
    grid = grid_of(raster)
    wanted = grid_of(scene)
    if grid != wanted:
        remedy = f"try `rio warp {labels} on_grid.tif --like {image} --resampling nearest`"
        finding = f"{labels} is on another grid (CRS, shape, transform) than {image}"
        raise ValueError(f"{finding}: {grid}, not {wanted}; {remedy}.")


def grid_of(raster: Any) -> tuple[str, tuple[int, int], tuple[float, ...]]:
    """Return a raster's coordinate system, shape and transform.

    Args:
        raster: Opened by rasterio.
    """
    transform = tuple(round(number, DECIMALS) for number in raster.transform[:6])
    return str(raster.crs), raster.shape, transform


def names_in_tags(tags: Mapping[str, str]) -> dict[int, str]:
    """Return the classes' names by number, as a label raster's tags have them.

    Args:
        tags: All of the raster's tags.
    """
    named = {}
    for key, name in tags.items():
        number = key.removeprefix(TAG)
        if key.startswith(TAG) and number.isdigit():
            named[int(number)] = name
    return named


def chosen_classes(
    named: Mapping[int, str],
    wanted: Collection[str] | None,
    labels: File,
) -> dict[int, str]:
    """Return the classes to use, by number and in its order.

    Args:
        named: Names of all classes by number.
        wanted: Names of those to use; None is all.
        labels: Path of the labels, for the message.

    Raises:
        ValueError: A wanted class is not there.
    """
    unknown = set(wanted or ()) - set(named.values())
    if unknown:
        raise ValueError(
            f"`classes` has {sorted(unknown)}; {labels} has {list(named.values())}; use those."
        )
    in_order = sorted(named.items())
    if wanted is None:
        return dict(in_order)
    return {number: name for number, name in in_order if name in wanted}
