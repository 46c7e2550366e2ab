"""Scenes, read from GeoTIFFs and whatever else GDAL reads, block by block."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hetlib.datasets.bands import Bands, bands_of, read_values
from hetlib.datasets.filenames import SIDE_CARS
from hetlib.datasets.memory import check_memory
from hetlib.datasets.statistics import out_of_range
from hetlib.datasets.types import File, Range
from hetlib.errors import require

# Bytes of a scene that are read at a time, and that GDAL keeps of what it has decoded.
BLOCK_BYTES = 1 << 23
KEPT_BYTES = 1 << 25


class Scene(NamedTuple):
    """A raster, read whole.

    Attributes:
        pixels: (height, width, bands): in the file's own type, or as float32 where it has a scale
            or an offset.
        bands: The bands' descriptions, numbers from 1 where there are none.
        gaps: True where the file says that there is no data, of the same shape; None where all are
            data.
    """

    pixels: np.ndarray
    bands: tuple[str, ...]
    gaps: np.ndarray | None

    def valid(self, valid_range: Range = None) -> np.ndarray:
        """Return where there is data.

        Args:
            valid_range: Lowest and highest value that is data; None is no limit.

        Returns:
            (height, width, bands) bool.
        """
        valid = np.ones(self.pixels.shape, bool)
        if self.gaps is not None:
            valid &= ~self.gaps
        if valid_range is not None:
            valid &= ~out_of_range(self.pixels, valid_range)
        return valid


class Block(NamedTuple):
    """A part of a raster.

    Attributes:
        rows: Of its pixels.
        columns: Of its pixels.
    """

    rows: slice
    columns: slice

    def window(self) -> Any:
        """Return it as rasterio has it."""
        windows = require("rasterio.windows", "data")
        return windows.Window.from_slices(self.rows, self.columns)


@contextmanager
def open_raster(path: File) -> Iterator[Any]:
    """Open a raster; errors in the block that reads it name it.

    Args:
        path: Of the raster.

    Raises:
        ValueError: It cannot be read.
    """
    rasterio = require("rasterio", "data")
    try:
        with rasterio.open(path) as raster, gdal_keeps(bytes_to_keep(raster)):
            yield raster
    except (
        rasterio.errors.RasterioError,
        rasterio._err.CPLE_BaseError,
        UnicodeDecodeError,
    ) as error:
        reason = error.__cause__ or error
        raise ValueError(f"{path} cannot be read ({reason}); replace it.") from error


@contextmanager
def gdal_keeps(size: int) -> Iterator[None]:
    """Let GDAL keep so much of what it has decoded, and as much as before afterwards.

    Args:
        size: In bytes.
    """
    rasterio = require("rasterio", "data")
    before = rasterio._env.get_gdal_config("GDAL_CACHEMAX")
    try:
        with rasterio.Env(GDAL_CACHEMAX=size):
            yield
    finally:
        rasterio._env.set_gdal_config("GDAL_CACHEMAX", before)


def bytes_to_keep(raster: Any) -> int:
    """Return how much of what it has decoded GDAL must keep: else it decodes it for each band.

    Args:
        raster: Opened by rasterio.
    """
    pixels = max(high * wide for high, wide in raster.block_shapes)
    size = sum(np.dtype(dtype).itemsize for dtype in raster.dtypes)
    return max(KEPT_BYTES, 2 * pixels * size)


def bands_in(raster: Any) -> Bands:
    """Return what a raster says of its bands; an error names its file.

    Args:
        raster: Opened by rasterio.

    Raises:
        ValueError: Its pixels are complex, or it has no band of values.
    """
    try:
        return bands_of(raster)
    except ValueError as error:
        raise ValueError(f"{raster.name}: {error}.") from error


def read_scene(image: File) -> Scene:
    """Read a raster with any number of bands.

    Args:
        image: A GeoTIFF, or anything that GDAL reads.

    Returns:
        Its pixels, the bands' names, and where there is no data.

    Raises:
        ValueError: It cannot be read, is complex, or does not fit into memory.
    """
    with open_raster(image) as raster:
        bands = bands_in(raster)
        shape = (*raster.shape, len(bands.numbers))
        dtype = bands.type_of_values
        size = int(np.prod(shape, dtype=np.int64))
        needed = size * (dtype.itemsize + bands.may_have_gaps)
        remedy = "read a part of it, or windows by `LandCoverScene`"
        check_memory(f"{image}, {shape} values,", needed, remedy)

        pixels = np.empty(shape, dtype)
        gaps = None
        for block in blocks(raster, bands):
            values, empty = read_values(raster, bands, block.window())
            pixels[block] = values
            if empty is not None:
                if gaps is None:
                    gaps = np.zeros(shape, bool)
                gaps[block] = empty
    return Scene(pixels, names_of(bands), gaps)


def names_of(bands: Bands) -> tuple[str, ...]:
    """Return the names of bands: their descriptions, or numbers where these tell nothing apart.

    Args:
        bands: What a raster says of its bands.
    """
    names: list[str] = []
    for number, name in zip(bands.numbers, bands.names, strict=True):
        if not name:
            names.append(str(number))
        elif bands.names.count(name) > 1:
            names.append(f"{name} ({number})")
        else:
            names.append(name)
    return tuple(names)


def blocks(raster: Any, bands: Bands) -> list[Block]:
    """Return parts of a raster, of `BLOCK_BYTES` or less, that lie as its file does.

    Args:
        raster: Opened by rasterio.
        bands: What it says of its bands.
    """
    height, width = raster.shape
    high, wide = raster.block_shapes[0]
    pixel = len(bands.numbers) * (bands.type_of_values.itemsize + 1)
    columns = width
    if high * width * pixel > BLOCK_BYTES:
        columns = several(wide, BLOCK_BYTES // (high * pixel))
    rows = several(high, BLOCK_BYTES // (columns * pixel))
    piece = max(1, min(rows, BLOCK_BYTES // (columns * pixel)))  # of the file's own large blocks

    found = []
    for down, across in product(parts(0, height, rows), parts(0, width, columns)):
        found += [Block(part, across) for part in parts(down.start, down.stop, piece)]
    return found


def several(size: int, most: int) -> int:
    """Return the largest multiple of a size that is not above a number, and at least the size.

    Args:
        size: Of one.
        most: The number.
    """
    return max(most // size, 1) * size


def parts(start: int, stop: int, size: int) -> list[slice]:
    """Return parts of a side.

    Args:
        start: Where they begin.
        stop: Where they end.
        size: Of a part; the last may be smaller.
    """
    return [slice(first, min(first + size, stop)) for first in range(start, stop, size)]


def sources_of(path: File) -> list[Path]:
    """Return the files that a raster is read from: its own, and those beside it or behind it.

    Args:
        path: Of the raster.

    Returns:
        Its own file first.
    """
    rasterio = require("rasterio", "data")
    named = Path(path).absolute()  # side-cars lie beside a link, not beside what it leads to
    own = named.resolve()
    found = [own]
    for listed in files_behind(rasterio, str(named), set()):
        file = Path(listed).resolve()
        is_copy = file.suffix == ".ovr"  # of the same pixels, coarser
        if file.is_file() and file not in found and not is_copy:
            found.append(file)
    return found


def files_behind(rasterio: Any, path: str, seen: set[str]) -> list[str]:
    """Return the files that GDAL reads a raster from, also those of a virtual one's sources.

    Args:
        rasterio: The package.
        path: Of the raster.
        seen: Those that were looked at; it grows.
    """
    seen.add(path)
    try:
        with rasterio.open(path) as raster:
            listed = list(raster.files)
    except rasterio.errors.RasterioError:  # whoever reads it says so
        return []
    found = list(listed)
    for file in listed:
        if file in seen or Path(file) == Path(path):
            continue
        seen.add(file)
        if file.lower().endswith(".vrt"):
            found += files_behind(rasterio, file, seen)
        else:
            found += [file + ending for ending in SIDE_CARS]
    return found
