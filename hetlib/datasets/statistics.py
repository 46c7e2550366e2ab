"""Which pixels are data, and the moments of those that are."""

import numpy as np

from hetlib.datasets.types import Range


def valid_pixels(pixels: np.ndarray, nodata: float | None, valid_range: Range) -> np.ndarray:
    """Return where ``pixels`` are finite, not ``nodata`` and within ``valid_range`` (ends included)."""
    valid = np.isfinite(pixels)
    if nodata is not None:
        valid &= pixels != nodata
    if valid_range is not None:
        valid &= (pixels >= valid_range[0]) & (pixels <= valid_range[1])
    return valid


def moments(pixels: np.ndarray, nodata: float | None, valid_range: Range) -> np.ndarray:
    """Return count, sum and sum of squares of valid pixels, (n, 3, bands): any split's mean and deviation follow."""
    values = pixels.reshape(len(pixels), -1, pixels.shape[-1]).astype(np.float64)
    count = np.full(values[:, :1].shape, values.shape[1])
    if not (valid := valid_pixels(pixels, nodata, valid_range).reshape(values.shape)).all():
        count = valid.sum(1, keepdims=True)
        values[~valid] = 0
    ones = np.ones((1, values.shape[1]))  # a product is faster than a sum over a middle axis
    return np.concatenate([count, ones @ values, ones @ np.square(values, out=values)], axis=1)
