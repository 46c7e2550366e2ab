"""The class of each pixel of a scene, read from a raster of class numbers."""

import dataclasses
import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from hetlib.datasets.bands import Bands, read_values
from hetlib.datasets.grids import check_grid
from hetlib.datasets.memory import check_memory
from hetlib.datasets.rasters import bands_in, blocks, open_raster
from hetlib.datasets.types import Classes, File

# A tag of this name and a class number holds the class's name.
TAG = "CLASS_"

_NUMBER = re.compile(r"-?[0-9]+").fullmatch


def read_labels(
    labels: File,
    image: File,
    classes: Classes,
) -> tuple[np.ndarray, dict[int, str]]:
    """Read the class of each pixel of a scene, and the names of the classes to use.

    Unlabelled are the pixels that the file says are no data, by its nodata value, mask or alpha
    band. In a file that says nothing of the kind, 0 is unlabelled, unless a name is given to it.

    Args:
        labels: GeoTIFF of one band of class numbers, on the scene's grid.
        image: The scene.
        classes: Names of those to use, or their names by number; None is all.

    Returns:
        Class numbers (height, width), whole numbers of the least type that holds them, the least
        one for unlabelled; and the names by number.

    Raises:
        ValueError: The grids differ, the labels are no whole numbers or all unlabelled, or a class
            is unknown.
    """
    with open_raster(labels) as raster:
        with open_raster(image) as scene:
            check_grid(raster, scene, labels, image)
        bands = bands_of_labels(raster, labels)
        given = names_given(raster, bands, classes, labels)
        codes, numbers = read_codes(raster, bands, 0 in given, labels)

    if not numbers:
        raise ValueError(
            f"{labels} has no labelled pixel: all are 0, or without data; give class numbers, or "
            "name class 0 by `classes={0: ...}`."
        )
    if isinstance(classes, Mapping):
        return codes, given
    if not given:
        given = {number: f"class {number}" for number in sorted(numbers)}
    return codes, chosen_classes(given, classes, labels)


def bands_of_labels(raster: Any, labels: File) -> Bands:
    """Return what a label raster says of its one band; numbers are taken as they are.

    Args:
        raster: Opened by rasterio.
        labels: Its path, for the message.

    Raises:
        ValueError: It is not one band.
    """
    bands = bands_in(raster)
    if len(bands.numbers) != 1:
        raise ValueError(
            f"{labels} must be one band of whole numbers, got {raster.dtypes}; take one: "
            "`gdal_translate -b 1`."
        )
    return dataclasses.replace(bands, scales=(1.0,), offsets=(0.0,))


def names_given(
    raster: Any,
    bands: Bands,
    classes: Classes,
    labels: File,
) -> dict[int, str]:
    """Return the names by number that the caller or the file gives; none where neither does.

    Args:
        raster: The labels, opened.
        bands: What they say of their band.
        classes: What the caller gives.
        labels: Path of the labels, for the message.

    Raises:
        ValueError: The caller names the number that stands for no data.
    """
    (nodata,) = bands.nodata
    if isinstance(classes, Mapping):
        if nodata in classes:
            raise ValueError(
                f"`classes` names {nodata:g}, but in {labels} that is the nodata value: leave it "
                "out, or remove the value (`rio edit-info --unset-nodata`)."
            )
        return dict(classes)
    named = names_in_tags({**raster.tags(1), **raster.tags()})
    return {number: name for number, name in named.items() if number != nodata}


def read_codes(
    raster: Any,
    bands: Bands,
    zero_is_named: bool,
    labels: File,
) -> tuple[np.ndarray, set[int]]:
    """Read class numbers, and which there are.

    Args:
        raster: The labels, opened.
        bands: What they say of their band.
        zero_is_named: Whether 0 has a name.
        labels: Path of the labels, for the message.

    Returns:
        Class numbers (height, width), the least of their type for unlabelled; and those found.

    Raises:
        ValueError: They do not fit into memory, or are no whole numbers.
    """
    dtype = type_of_codes(bands.dtype)
    height, width = raster.shape
    needed = height * width * (dtype.itemsize + 2)  # two: splits, and which pixels are usable
    check_memory(f"{labels}, {height} x {width} pixels,", needed, "cut it into smaller scenes")

    unlabelled = np.iinfo(dtype).min
    codes = np.empty(raster.shape, dtype)
    found: set[int] = set()
    for block in blocks(raster, bands):
        values, gaps = read_values(raster, bands, block.window())
        part = values[..., 0]
        if gaps is not None:
            part = np.where(gaps[..., 0], part.dtype.type(0), part)
        codes[block] = whole_numbers(part, dtype, labels)
        if gaps is not None:
            codes[block][gaps[..., 0]] = unlabelled
        found.update(np.unique(codes[block]).tolist())

    says_unlabelled = bands.says_gaps or unlabelled in found
    if 0 in found and not (zero_is_named or says_unlabelled):
        codes[codes == 0] = unlabelled
        found.remove(0)
    return codes, found - {int(unlabelled)}


def whole_numbers(values: np.ndarray, dtype: np.dtype, labels: File) -> np.ndarray:
    """Return class numbers as whole ones; some programs write them as floats.

    Args:
        values: Of pixels that have data.
        dtype: Of the numbers returned.
        labels: Path of the labels, for the message.

    Raises:
        ValueError: One is no whole number, or none of this type.
    """
    if values.dtype.kind in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    odd = (values != np.rint(values)) | (values <= limits.min) | (values > limits.max)
    if odd.any():
        raise ValueError(
            f"{labels} must be whole numbers, got {values[odd][0]}; give class numbers, and a "
            "nodata value (`rio edit-info --nodata`) where a number stands for none."
        )
    return values.astype(dtype)


def type_of_codes(dtype: np.dtype) -> np.dtype:
    """Return the least signed type that holds all numbers of a type, and one more.

    Args:
        dtype: Of the numbers in the file; of floats, whole ones of 32 bits.
    """
    if dtype.kind == "f":
        return np.dtype(np.int32)
    larger = {1: np.int16, 2: np.int32}
    return np.dtype(larger.get(dtype.itemsize, np.int64))


def names_in_tags(tags: Mapping[str, str]) -> dict[int, str]:
    """Return the classes' names by number, as a label raster's tags have them.

    Args:
        tags: All of the raster's tags.
    """
    named = {}
    for key, name in tags.items():
        number = key.removeprefix(TAG)
        if key.startswith(TAG) and _NUMBER(number):
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
