"""What every data set here is: labelled images in a memory-mapped cache, read one by one or gathered."""

import importlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from hetlib import cache as store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SPLITS", "ImageDataset"]

SPLITS = ("train", "validation", "test")
RGB = (("b04", "b03", "b02"), ("red", "green", "blue"))  # parts of band names
File = str | os.PathLike[str]
Transforms = Callable[[dict[str, Any]], dict[str, Any]]


class ImageDataset(Dataset):
    """One split of labelled images, mapped from the cache.

    Items are ``{"image": (bands, height, width) float32, "label": int}`` with raw values; pixels without data
    hold the band's mean. Copies in other processes map the same cache and share its memory.

    Data sets take ``split`` ("train", "validation" or "test"), ``bands`` (names of those to use), ``valid_range``
    (lowest and highest value that is data, besides the file's nodata value), ``transforms`` (applied to each item)
    and ``cache`` (a folder instead of ``HETLIB_CACHE``).

    Attributes:
        classes: Names, by label.
        bands: Names of the selected bands, in order.
        labels: (n,) int64 labels of this split.
        checksum: SHA-256 of what the data set was made from.
        mean: (bands,) float32 mean of the training split's valid pixels.
        std: (bands,) float32 standard deviation of the same pixels; 1 for a constant band.
        indices: (n,) positions of this split's images in the cache.
    """

    def __init__(
        self,
        entry: store.Entry,
        assigned: np.ndarray,  # (images in the cache,) positions in SPLITS, -1 for unused
        split: str,
        bands: Sequence[str] | None,
        transforms: Transforms | None,
    ):
        known: list[str] = entry.meta["bands"]
        self.bands = tuple(known) if bands is None else tuple(bands)
        if isinstance(bands, str) or not self.bands or not set(self.bands) <= set(known):
            raise ValueError(f"`bands` must be a sequence of names out of {known}, got {bands!r}.")
        self.split, self.transforms, self.cache_folder = split, transforms, entry.folder
        self.classes, self.checksum = tuple(entry.meta["classes"]), str(entry.meta["checksum"])
        self.columns = np.array([known.index(band) for band in self.bands])
        self.indices = np.flatnonzero(assigned == SPLITS.index(split))
        self.labels = np.asarray(entry.arrays["labels"])[self.indices]
        self._images, self._meta = entry.arrays["images"], entry.meta
        count, total, squares = entry.arrays["moments"][assigned == 0].sum(0)[:, self.columns]
        if not count.all():
            empty = self.bands[int(np.argmin(count))]
            raise ValueError(f"Band {empty!r} has no valid pixel in training; leave it out with `bands=`.")
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0))
        self.mean = mean.astype(np.float32)
        self.std = np.where(std > 1e-6 * np.abs(mean), std, 1).astype(np.float32)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_images": None, "_meta": None}  # a copy maps the cache itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        if (entry := store.load(state["cache_folder"])) is None:
            raise FileNotFoundError(f"The cache {state['cache_folder']} is gone; open the data set again.")
        self.__dict__ |= state | {"_images": entry.arrays["images"], "_meta": entry.meta}

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> dict[str, Any]:
        sample = {"image": self.gather([i], standardise=False)[0][0], "label": int(self.labels[i])}
        return sample if self.transforms is None else self.transforms(sample)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Bands, height and width of every image."""
        return (len(self.bands), *self._images.shape[1:3])

    def gather(
        self, indices: Sequence[int] | np.ndarray | torch.Tensor, standardise: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Read a batch; ``transforms`` are not applied.

        Args:
            indices: (n,) positions within this split; n may be 0.
            standardise: Subtract ``mean`` and divide by ``std``, per band.

        Returns:
            Images (n, bands, height, width) float32, channels last in memory, and labels (n,) int64.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        images = torch.empty((len(chosen), *self.image_shape), memory_format=torch.channels_last)
        out = images.permute(0, 2, 3, 1).numpy()  # (n, height, width, bands), the same memory
        pixels = out.shape[1] * out.shape[2]
        scale = np.tile(1 / self.std, pixels)
        shift = np.tile(self.mean, pixels) * scale
        step = max(1, 65_536 // len(scale))  # images at a time: the processor's cache holds them for all passes
        for start in range(0, len(out), step):
            raw = self._images[self.indices[chosen[start : start + step]]]  # (step, height, width, all bands)
            part = out[start : start + step]
            if len(self.columns) != raw.shape[-1] or (np.diff(self.columns) != 1).any():
                raw = raw[..., self.columns]
            part[:] = raw
            if standardise:
                rows = part.reshape(-1, len(scale))
                rows *= scale
                rows -= shift
            if not self._meta["clean"]:
                valid = valid_pixels(raw, self._meta["nodata"], self._meta["valid_range"])
                np.copyto(part, np.float32(0) if standardise else self.mean, where=~valid)
        return images, torch.from_numpy(self.labels[chosen])

    def plot(self, sample: dict[str, Any]) -> "Figure":
        """Draw an item in colour if bands B04, B03, B02 or red, green, blue are there, else its first."""
        figures = optional("matplotlib.figure", "matplotlib")
        shown = [0]
        for names in RGB:
            found = [[i for i, band in enumerate(self.bands) if name in band.lower()] for name in names]
            shown = [positions[0] for positions in found] if all(found) else shown
        image = np.asarray(sample["image"], dtype=np.float32)[shown]  # (3 or 1, height, width)
        low, high = np.percentile(image, (2, 98), axis=(1, 2), keepdims=True)
        image = np.clip((image - low) / np.maximum(high - low, 1e-6), 0, 1).transpose(1, 2, 0)
        figure: Figure = figures.Figure(figsize=(2.5, 2.5), layout="constrained")
        axes = figure.add_subplot(title=self.classes[int(sample["label"])])
        axes.imshow(image, cmap="gray")
        axes.axis("off")
        return figure


def valid_pixels(pixels: np.ndarray, nodata: float | None, valid_range: Sequence[float] | None) -> np.ndarray:
    """Return where ``pixels`` are finite, not ``nodata`` and within ``valid_range`` (ends included)."""
    valid = np.isfinite(pixels) if pixels.dtype.kind == "f" else np.ones(pixels.shape, bool)
    if nodata is not None:
        valid &= pixels != nodata
    if valid_range is not None:
        valid &= (pixels >= valid_range[0]) & (pixels <= valid_range[1])
    return valid


def moments(pixels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return count, sum and sum of squares of the valid pixels: (n, height, width, bands) to (n, 3, bands).

    Mean and deviation of any split follow from them exactly, without reading images again.
    """
    n, bands = len(pixels), pixels.shape[-1]
    values = pixels.reshape(n, -1, bands).astype(np.float64)
    out = np.full((n, 3, bands), float(values.shape[1]))
    if not valid.all():
        out[:, 0] = valid.reshape(values.shape).sum(1)
        values[~valid.reshape(values.shape)] = 0
    ones = np.ones((1, values.shape[1]))  # a product is faster than a sum over a middle axis
    out[:, 1] = (ones @ values)[:, 0]
    out[:, 2] = (ones @ np.square(values, out=values))[:, 0]
    return out


def check(split: str, fractions: Sequence[float]) -> None:
    """Refuse an unknown split, or shares that are none."""
    if split not in SPLITS:
        raise ValueError(f"`split` must be one of {SPLITS}, got {split!r}.")
    if len(fractions) != 3 or fractions[0] <= 0 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"`fractions` must be 3 shares (training > 0) that add up to 1, got {fractions!r}.")


def optional(module: str, package: str) -> Any:
    """Import a module when it is needed, or say how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"This needs {package}; install it with `pip install {package}`.") from error
