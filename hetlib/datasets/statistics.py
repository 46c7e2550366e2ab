"""Which pixels are data, and the moments of those that are."""

from collections.abc import Sequence

import numpy as np

from hetlib.datasets.types import Nodata

# A deviation at most this share of the mean is rounding: the band is constant.
CONSTANT = 1e-6

# Pixels of an image that are summed at a time: as float64 they are up to 8 times as large.
PIXELS_AT_A_TIME = 1 << 20


def out_of_range(pixels: np.ndarray, valid_range: Sequence[float]) -> np.ndarray:
    """Return which pixels are below the lowest or above the highest value that is data.

    Args:
        pixels: Of any shape.
        valid_range: The two; both are data.

    Returns:
        True where they are, of the same shape.
    """
    return ~((pixels >= valid_range[0]) & (pixels <= valid_range[1]))


def is_nodata(pixels: np.ndarray, nodata: Nodata) -> np.ndarray:
    """Return which pixels are no data: not finite, or the number that stands for it.

    Args:
        pixels: Of any shape; bands last where ``nodata`` has one number for each.
        nodata: The number that stands for no data, or that of each band; None where there is none.

    Returns:
        True where there is none, of the same shape.
    """
    if np.issubdtype(pixels.dtype, np.integer):
        gaps = np.zeros(pixels.shape, bool)
    else:
        gaps = ~np.isfinite(pixels)
    if nodata is None:
        return gaps
    if not isinstance(nodata, Sequence):
        return gaps | equals(pixels, nodata)

    if len(set(nodata)) == 1:
        return is_nodata(pixels, nodata[0])
    for band, number in enumerate(nodata):
        if number is not None:
            gaps[..., band] |= equals(pixels[..., band], number)
    return gaps


def equals(pixels: np.ndarray, number: float) -> np.ndarray:
    """Return which pixels are a number that a file has as text, rounded as the pixels are.

    Args:
        pixels: Of any shape.
        number: Of any size; one that pixels of this type cannot be is none of them.

    Returns:
        True where they are, of the same shape.
    """
    if not np.issubdtype(pixels.dtype, np.integer):
        return pixels == pixels.dtype.type(number)
    limits = np.iinfo(pixels.dtype)
    if not limits.min <= number <= limits.max or number != int(number):
        return np.zeros(pixels.shape, bool)
    return pixels == pixels.dtype.type(int(number))


def moments(pixels: np.ndarray, gaps: np.ndarray | None = None) -> np.ndarray:
    """Return count, sum and sum of squares of each image's valid pixels.

    They add up: the mean and deviation of any split follow.

    Args:
        pixels: Images (n, height, width, bands).
        gaps: True where there is no data, of the same shape; None where all are data.

    Returns:
        (n, 3, bands) float64.
    """
    images = len(pixels)
    bands = pixels.shape[-1]
    flat = pixels.reshape(images, -1, bands)
    empty = None
    if gaps is not None:
        empty = gaps.reshape(flat.shape)

    out = np.zeros((images, 3, bands))
    for start in range(0, flat.shape[1], PIXELS_AT_A_TIME):
        now = slice(start, start + PIXELS_AT_A_TIME)
        out += moments_of_part(flat[:, now], None if empty is None else empty[:, now])
    return out


def moments_of_part(pixels: np.ndarray, gaps: np.ndarray | None) -> np.ndarray:
    """Return count, sum and sum of squares of each image's valid pixels, held as float64.

    Args:
        pixels: Images (n, pixels, bands).
        gaps: True where there is no data, of the same shape; None where all are data.

    Returns:
        (n, 3, bands) float64.
    """
    images, size, bands = pixels.shape
    values = pixels.astype(np.float64)
    count = np.full((images, 1, bands), size)
    if gaps is not None and gaps.any():
        count = size - gaps.sum(1, keepdims=True)
        values[gaps] = 0

    ones = np.ones((1, size))  # a product is faster than a sum over a middle axis
    total = ones @ values
    squares = ones @ np.square(values, out=values)
    return np.concatenate([count, total, squares], axis=1)


def mean_and_deviation(summed: np.ndarray, bands: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation of each band's valid pixels.

    Args:
        summed: Moments of all images together, (3, bands).
        bands: The bands' names, for the message.

    Returns:
        Mean and deviation, each (bands,) float32; the deviation of a constant band is 1.

    Raises:
        ValueError: A band has no valid pixel.
    """
    count, total, squares = summed
    if not count.all():
        empty = bands[count.argmin()]
        raise ValueError(f"Band {empty!r} has no valid training pixel; omit it with `bands=`.")

    mean = total / count
    variance = squares / count - mean**2
    std = np.sqrt(np.maximum(variance, 0))
    std[std <= CONSTANT * np.abs(mean)] = 1
    return mean.astype(np.float32), std.astype(np.float32)
