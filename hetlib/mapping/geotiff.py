"""A map of class numbers as a GeoTIFF, written part by part and then moved into its place."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hetlib.datasets.rasters import open_raster
from hetlib.datasets.types import File
from hetlib.errors import require
from hetlib.mapping.colours import class_colours

# Largest number that a type of a GeoTIFF holds which can have a colour table.
_COLOURED = {"uint8": 255, "uint16": 65_535}


_BLOCK = 256  # pixels of a side of the blocks that the file is made of


def type_of(classes: Mapping[int, str]) -> str:
    """Return the least type that holds class numbers, and one that is none of them.

    Args:
        classes: Names by number.
    """
    for name, highest in _COLOURED.items():
        if min(classes) >= 0 and max(classes) <= highest and len(classes) <= highest:
            return name
    return "int32"


def nothing_of(classes: Mapping[int, str]) -> int:
    """Return the number that stands for no class: 0, or the highest where 0 is one.

    Args:
        classes: Names by number.
    """
    if 0 not in classes:
        return 0
    highest = _COLOURED.get(type_of(classes), np.iinfo(np.int32).max)
    return next(number for number in range(highest, 0, -1) if number not in classes)


def grid_of(image: File) -> dict[str, Any]:
    """Return the grid of a scene: its size, and where it lies, as rasterio takes them.

    Args:
        image: Path of the scene.
    """
    with open_raster(image) as scene:
        height, width = scene.shape
        return {"height": height, "width": width, **place_of(scene)}


@contextmanager
def open_map(
    path: Path,
    grid: Mapping[str, Any],
    classes: Mapping[int, str],
    description: str,
    tags: Mapping[str, str],
) -> Iterator[Any]:
    """Open a map for writing on a scene's grid; it comes into its place whole, or not at all.

    The class names are tags ``CLASS_<number>``, as in label files, so that `LandCoverScene` reads
    the map as a reference.

    Args:
        path: Of the map; its folder is made.
        grid: That it is on, as `grid_of` returns it.
        classes: Names by number.
        description: Of its band.
        tags: Further ones.

    Yields:
        The file, opened by rasterio.
    """
    rasterio = require("rasterio", "data")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    kind = type_of(classes)
    nothing = nothing_of(classes)
    options = {
        "driver": "GTiff",
        "count": 1,
        "dtype": kind,
        "nodata": nothing,
        "compress": "deflate",
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "BIGTIFF": "IF_SAFER",
    }
    names = {f"CLASS_{number}": name for number, name in classes.items()}
    try:
        with rasterio.open(beside, "w", **options, **grid) as raster:
            if kind in _COLOURED:
                raster.write_colormap(1, class_colours(classes, nothing))
            raster.set_band_description(1, description)
            raster.update_tags(**names, **tags)
            yield raster
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def place_of(scene: Any) -> dict[str, Any]:
    """Return where a raster lies, as rasterio takes it when it writes one.

    Args:
        scene: Opened by rasterio.
    """
    points, system = scene.gcps
    if points:
        return {"gcps": points, "crs": system}
    if scene.transform.is_identity:
        return {"crs": scene.crs}
    return {"crs": scene.crs, "transform": scene.transform}
