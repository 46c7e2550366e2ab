"""Which pixels are data, and the moments of those that are."""

from collections.abc import Sequence

import numpy as np

from hetlib.datasets.types import Range

# A deviation at most this share of the mean is rounding: the band is constant.
CONSTANT = 1e-6


def valid_pixels(pixels: np.ndarray, nodata: float | None, valid_range: Range) -> np.ndarray:
    """Return which pixels are data: finite, not ``nodata``, and within the range.

    Args:
        pixels: Of any shape.
        nodata: The value that stands for no data, if there is one.
        valid_range: Lowest and highest value that is data, ends included; None is no limit.

    Returns:
        True where there is data, of the same shape.
    """
    valid = np.isfinite(pixels)
    if nodata is not None:
        valid &= pixels != nodata
    if valid_range is not None:
        valid &= (pixels >= valid_range[0]) & (pixels <= valid_range[1])
    return valid


def moments(pixels: np.ndarray, nodata: float | None, valid_range: Range) -> np.ndarray:
    """Return count, sum and sum of squares of each image's valid pixels.

    They add up: the mean and deviation of any split follow.

    Args:
        pixels: Images (n, height, width, bands).
        nodata: The value that stands for no data, if there is one.
        valid_range: Lowest and highest value that is data; None is no limit.

    Returns:
        (n, 3, bands) float64.
    """
    images = len(pixels)
    bands = pixels.shape[-1]
    values = pixels.reshape(images, -1, bands).astype(np.float64)
    size = values.shape[1]  # pixels of an image
    valid = valid_pixels(pixels, nodata, valid_range).reshape(values.shape)
    count = np.full((images, 1, bands), size)
    if not valid.all():
        count = valid.sum(1, keepdims=True)
        values[~valid] = 0

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
