"""What a raster says of its bands, and their values where they are data.

Each file says itself which pixels are data: by a nodata value of each band, an alpha band, a mask
inside or beside it, and NaN and infinity. It may say scale and offset too; its values are then
``scale * number + offset``, in the unit that the file means (for Sentinel-2, reflectance).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from hetlib.datasets.statistics import is_nodata
from hetlib.errors import require

# A band that is marked as alpha is looked at in so many squares along each side, of so many pixels.
LOOKS = 4
LOOK = 64

# A band is taken for alpha where at least this share of its values is the lowest or the highest:
# GDAL marks the fourth band of any 8-bit file as alpha where its writer says nothing.
EXTREME = 0.5

# What stands for opaque in an alpha band of more than 8 bits: not all writers use the highest.
OPAQUE = (1, 255, 65535)


@dataclass(frozen=True)
class Bands:
    """The bands of a raster that hold values, alpha left out.

    Attributes:
        numbers: Of the bands, from 1.
        names: Their descriptions, None where there is none.
        dtype: Of the numbers in the file; one that holds all bands'.
        nodata: Of each band, the number that stands for no data, if there is one.
        scales: Of each band.
        offsets: Of each band.
        alpha: Number of the alpha band; None where there is none.
        masked: Whether a mask in the file or beside it says where data are.
    """

    numbers: tuple[int, ...]
    names: tuple[str | None, ...]
    dtype: np.dtype
    nodata: tuple[float | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    alpha: int | None
    masked: bool

    @property
    def is_scaled(self) -> bool:
        """Whether values are other than the numbers in the file."""
        return set(self.scales) != {1.0} or set(self.offsets) != {0.0}

    @property
    def says_gaps(self) -> bool:
        """Whether a nodata value, an alpha band or a mask says where there is no data."""
        return self.masked or self.alpha is not None or set(self.nodata) != {None}

    @property
    def may_have_gaps(self) -> bool:
        """Whether any pixel can be without data: where the file says so, and as NaN."""
        return self.says_gaps or self.dtype.kind == "f"

    @property
    def type_of_values(self) -> np.dtype:
        """The type of the values: the file's, or a float where they are scaled."""
        if self.is_scaled and self.dtype.kind != "f":
            return np.dtype(np.float32)
        return self.dtype


def bands_of(raster: Any) -> Bands:
    """Return what a raster says of its bands.

    Args:
        raster: Opened by rasterio.

    Raises:
        ValueError: Its pixels are complex, or it has no band of values.
    """
    types = raster.dtypes
    if any("complex" in dtype for dtype in types):
        raise ValueError(
            f"its pixels are complex ({types[0]}); write amplitude, or real and imaginary part, "
            "as bands"
        )
    alpha = alpha_band(raster)
    numbers = [number for number in raster.indexes if number != alpha]
    if not numbers:
        raise ValueError(f"it has no band of values, only {raster.count} of alpha")

    flags = raster.mask_flag_enums
    mask = require("rasterio", "data").enums.MaskFlags
    masked = [is_mask(flags[number - 1], mask) for number in numbers]
    dtype = np.result_type(*(types[number - 1] for number in numbers))
    return Bands(
        numbers=tuple(numbers),
        names=pick(raster.descriptions, numbers),
        dtype=dtype,
        nodata=pick(raster.nodatavals, numbers),
        scales=pick(raster.scales, numbers),
        offsets=pick(raster.offsets, numbers),
        alpha=alpha,
        masked=any(masked),
    )


def pick(values: Sequence[Any], numbers: Sequence[int]) -> tuple[Any, ...]:
    """Return the values of some bands.

    Args:
        values: Of all bands.
        numbers: Of the bands wanted, from 1.
    """
    return tuple(values[number - 1] for number in numbers)


def is_mask(flags: Sequence[Any], mask: Any) -> bool:
    """Return whether a band has a mask of its own, besides a nodata value and alpha.

    Args:
        flags: Of the band's mask.
        mask: rasterio's names of flags.
    """
    return mask.per_dataset in flags and mask.alpha not in flags


def alpha_band(raster: Any) -> int | None:
    """Return the number of the alpha band; None where there is none.

    A band that is marked so, but has a name of its own or mostly values in between, is a band.

    Args:
        raster: Opened by rasterio.
    """
    rasterio = require("rasterio", "data")
    if raster.count == 1:
        return None
    for number, meaning in enumerate(raster.colorinterp, 1):
        if meaning == rasterio.enums.ColorInterp.alpha and is_alpha(raster, number):
            return number
    return None


def is_alpha(raster: Any, number: int) -> bool:
    """Return whether a band that is marked as alpha is alpha, by its name or its values.

    Args:
        raster: Opened by rasterio.
        number: Of the band.
    """
    name = raster.descriptions[number - 1]
    if name:
        return "alpha" in name.lower()
    looks = [raster.read(number, window=part).ravel() for part in parts_to_look_at(raster)]
    values = np.concatenate(looks)
    extreme = np.isin(values, (0, *opaque_in(values.dtype)))
    return extreme.mean() >= EXTREME


def parts_to_look_at(raster: Any) -> list[Any]:
    """Return squares all over a raster; the whole of a small one.

    Args:
        raster: Opened by rasterio.
    """
    windows = require("rasterio.windows", "data")
    height, width = raster.shape
    if max(height, width) <= LOOKS * LOOK:
        return [windows.Window(0, 0, width, height)]
    tops = np.linspace(0, max(height - LOOK, 0), LOOKS, dtype=int)
    lefts = np.linspace(0, max(width - LOOK, 0), LOOKS, dtype=int)
    high = min(LOOK, height)
    wide = min(LOOK, width)
    corners = product(tops.tolist(), lefts.tolist())
    return [windows.Window(left, top, wide, high) for top, left in corners]


def opaque_in(dtype: np.dtype) -> tuple[int, ...]:
    """Return what may stand for opaque: the highest of whole numbers, and what is usual.

    Args:
        dtype: Of the alpha band.
    """
    if not np.issubdtype(dtype, np.integer):
        return OPAQUE
    highest = int(np.iinfo(dtype).max)
    if dtype.itemsize == 1:
        return (highest,)
    return (*OPAQUE, highest)


def read_values(
    raster: Any,
    bands: Bands,
    window: Any = None,
    shape: tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read values of a raster, and where they are no data.

    Args:
        raster: Opened by rasterio.
        bands: What it says of its bands.
        window: The part to read; None is all.
        shape: Height and width that it is brought to; None is its own.

    Returns:
        Values (height, width, bands), and True where there is no data, of the same shape; None
        where all are data.
    """
    numbers = read_numbers(raster, bands, window, shape)
    values = numbers
    if bands.is_scaled:
        values = scaled(numbers, bands)
    if not bands.may_have_gaps:
        return values, None

    gaps = is_nodata(numbers, bands.nodata)
    if bands.masked:
        gaps |= read_masks(raster, bands, window, shape)
    if bands.alpha is not None:
        alpha = raster.read(bands.alpha, out_shape=shape, window=window)
        gaps |= (alpha == 0)[..., None]
    if not gaps.any():
        return values, None
    return values, gaps


def read_numbers(
    raster: Any,
    bands: Bands,
    window: Any,
    shape: tuple[int, int] | None,
) -> np.ndarray:
    """Read the numbers of a raster as they are in the file.

    Args:
        raster: Opened by rasterio.
        bands: What it says of its bands.
        window: The part to read; None is all.
        shape: Height and width that it is brought to, averaging neighbours; None is its own.

    Returns:
        (height, width, bands).
    """
    rasterio = require("rasterio", "data")
    options = {"window": window, "resampling": rasterio.enums.Resampling.bilinear}
    numbers = list(bands.numbers)
    if len(set(pick(raster.dtypes, numbers))) == 1:
        wanted = None if shape is None else (len(numbers), *shape)
        found = raster.read(numbers, out_shape=wanted, **options)
        return found.transpose(1, 2, 0)
    each = [raster.read(number, out_shape=shape, **options) for number in numbers]
    return np.stack(each, axis=2).astype(bands.dtype)


def read_masks(
    raster: Any,
    bands: Bands,
    window: Any,
    shape: tuple[int, int] | None,
) -> np.ndarray:
    """Read where a mask says that there is no data.

    Args:
        raster: Opened by rasterio.
        bands: What it says of its bands.
        window: The part to read; None is all.
        shape: Height and width that it is brought to; None is its own.

    Returns:
        True where there is none, (height, width, bands).
    """
    numbers = list(bands.numbers)
    wanted = None if shape is None else (len(numbers), *shape)
    masks = raster.read_masks(numbers, out_shape=wanted, window=window)
    return masks.transpose(1, 2, 0) == 0


def scaled(numbers: np.ndarray, bands: Bands) -> np.ndarray:
    """Return the values that numbers in a file stand for.

    Args:
        numbers: (height, width, bands).
        bands: What the file says of its bands.

    Returns:
        ``scale * number + offset``, (height, width, bands).
    """
    values = np.empty(numbers.shape, bands.type_of_values)
    for k, (scale, offset) in enumerate(zip(bands.scales, bands.offsets, strict=True)):
        values[..., k] = numbers[..., k] * scale + offset
    return values
