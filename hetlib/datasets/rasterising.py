"""Polygons drawn on a scene's grid: which polygon, which class, and which region a pixel is in."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hetlib.datasets.rasters import open_raster
from hetlib.datasets.types import File
from hetlib.datasets.vectors import Polygons
from hetlib.errors import require


def classes_in_use(
    found: Polygons,
    classes: Sequence[str] | None,
    polygons: File,
) -> dict[int, str]:
    """Return the classes to use by their number in the label raster, from 1.

    Args:
        found: All polygons.
        classes: Those asked for; None is all, in order.
        polygons: Path of the polygons, for the message.

    Raises:
        ValueError: One asked for is not there.
    """
    there = set(found.classes)
    if classes is None:
        names = sorted(there)
        if all(name.isdecimal() for name in names):
            names.sort(key=int)
        return dict(enumerate(names, 1))
    unknown = sorted(set(classes) - there)
    if unknown:
        raise ValueError(f"`classes` has {unknown}; {polygons} has {sorted(there)}; use those.")
    return dict(enumerate(classes, 1))


def numbers_of_pixels(found: Polygons, image: File, polygons: File) -> np.ndarray:
    """Return which polygon is drawn on each pixel: the last one around the pixel's middle.

    A polygon so small that it is around no middle is drawn on every pixel that it touches and that
    no other is drawn on.

    Args:
        found: All polygons.
        image: Path of the scene.
        polygons: Path of the polygons, for the message.

    Returns:
        Numbers from 0, -1 for none, (height, width) int32.

    Raises:
        ValueError: The scene has no coordinate system, or no polygon is in it.
    """
    features = require("rasterio.features", "data")
    with open_raster(image) as raster:
        if raster.crs is None:
            raise ValueError(
                f"{image} has no coordinate system, so no place for {polygons}; set it, as in "
                f"`rio edit-info --crs EPSG:32633 {image}`."
            )
        shapes = transformed(found, raster.crs, polygons)
        grid = {"out_shape": raster.shape, "transform": raster.transform, "dtype": "int32"}
        bounds = tuple(raster.bounds)

    numbered = [(shape, number) for number, shape in enumerate(shapes)]
    out = features.rasterize(numbered, fill=-1, **grid)
    drawn = set(np.unique(out).tolist())
    small = [(shape, number) for shape, number in numbered if number not in drawn]
    if small:
        touched = features.rasterize(small, fill=-1, all_touched=True, **grid)
        np.copyto(out, touched, where=out < 0)
    if (out < 0).all():
        first = features.bounds(shapes[0])
        raise ValueError(
            f"No polygon of {polygons} ({found.crs}) is in {image}: the first is in {first}, the "
            f"scene in {bounds}; see whether the coordinate systems are right."
        )
    return out


def transformed(found: Polygons, crs: Any, polygons: File) -> list[dict[str, Any]]:
    """Bring polygons into the scene's coordinate system.

    Args:
        found: All polygons.
        crs: The scene's, of rasterio.
        polygons: Path of the polygons, for the message.

    Raises:
        ValueError: The polygons' system is unknown, or a polygon is where the scene's has none.
    """
    warp = require("rasterio.warp", "data")
    features = require("rasterio.features", "data")
    shapes = []
    for number, shape in enumerate(found.shapes):
        try:
            moved = warp.transform_geom(found.crs, crs, shape)
            bounds = features.bounds(moved)
        except Exception as error:  # those of GDAL and of PROJ have no public class in common
            bounds = (math.nan,)
            reason = str(error)
        else:
            reason = f"they become {bounds}"
        if not all(math.isfinite(coordinate) for coordinate in bounds):
            raise ValueError(
                f"{polygons}: the coordinates of polygon {number}, {found.crs}, cannot be brought "
                f"into the scene's system, {crs} ({reason}); correct the file's `crs`."
            )
        shapes.append(moved)
    return shapes


def codes_of_pixels(
    numbers: np.ndarray,
    found: Polygons,
    named: Mapping[int, str],
) -> np.ndarray:
    """Return the class number of each pixel, 0 outside polygons of the classes in use.

    Args:
        numbers: Of the pixels' polygons, -1 for none, (height, width).
        found: All polygons.
        named: The classes to use, by number.
    """
    code_of = {name: code for code, name in named.items()}
    codes = [code_of.get(name, 0) for name in found.classes]
    table = np.array([*codes, 0], np.uint16)  # the last one is that of -1
    return table[numbers]


def grouped(numbers: np.ndarray, side: int) -> np.ndarray:
    """Join polygons whose middles are in one square.

    Args:
        numbers: Of the pixels' polygons, -1 for none, (height, width).
        side: Of the squares, in pixels; 0 joins nothing.

    Returns:
        Numbers of the regions from 1, 0 for none, (height, width) int32.
    """
    if side == 0:
        return (numbers + 1).astype(np.int32)
    rows, columns = np.nonzero(numbers >= 0)
    owners = numbers[rows, columns]
    sizes = np.maximum(np.bincount(owners), 1)
    down = np.bincount(owners, weights=rows) / sizes // side
    across = np.bincount(owners, weights=columns) / sizes // side
    cells = down * (numbers.shape[1] // side + 1) + across
    _, regions = np.unique(cells, return_inverse=True)
    table = np.array([*(regions + 1), 0], np.int32)  # the last one is that of -1
    return table[numbers]


def write_band(path: Path, values: np.ndarray, image: File, tags: Mapping[str, str]) -> None:
    """Write one band on a scene's grid; 0 is no data.

    Args:
        path: Where to.
        values: (height, width).
        image: Path of the scene.
        tags: To write with it.
    """
    rasterio = require("rasterio", "data")
    with open_raster(image) as scene:
        grid = {"crs": scene.crs, "transform": scene.transform}
    height, width = values.shape
    size = {"count": 1, "height": height, "width": width, "dtype": values.dtype}
    packing = {"compress": "deflate", "nodata": 0}
    with rasterio.open(path, "w", driver="GTiff", **size, **grid, **packing) as out:
        out.write(values, 1)
        out.update_tags(**tags)
