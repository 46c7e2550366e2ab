"""What every data set here is: labelled images in a memory-mapped cache, read one by one or gathered."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from hetlib.datasets import cache as store
from hetlib.datasets.splits import SPLITS
from hetlib.datasets.statistics import valid_pixels
from hetlib.datasets.types import Batch, Names, Transforms


class ImageDataset(Dataset):
    """One split of labelled images, mapped from the cache, whose memory copies in other processes share.

    Items are ``{"image": (bands, height, width) float32, "label": int}`` with raw values; pixels
    without data hold the band's mean. Data sets take ``split`` ("train", "validation" or "test"),
    ``bands`` (names of those to use), ``valid_range`` (lowest and highest value that is data,
    besides the file's nodata value), ``transforms`` (applied to each item) and ``cache`` (a folder
    instead of ``HETLIB_CACHE``). ``mean`` and ``std`` (bands,) are float32 statistics of the
    training split's valid pixels, ``std`` 1 for a constant band.
    """

    def __init__(
        self,
        entry: store.Entry,
        assigned: np.ndarray,
        split: str,
        bands: Names,
        transforms: Transforms,
    ):
        # assigned: (images in the cache,) positions in SPLITS
        known: list[str] = entry.meta["bands"]
        self.bands = tuple(known if bands is None else bands)
        if isinstance(bands, str) or not self.bands or not set(self.bands) <= set(known):
            raise ValueError(f"`bands` must be a sequence of names out of {known}, got {bands!r}.")
        # All bands as a slice need no copy.
        self.columns = (
            slice(None) if list(self.bands) == known else [known.index(band) for band in self.bands]
        )
        self.split, self.transforms, self._entry = split, transforms, entry
        # (n,) the order in which replicas own the items; None: any may draw any
        self.shards: np.ndarray | None = None
        # of the source
        self.classes, self.checksum = tuple(entry.meta["classes"]), str(entry.meta["checksum"])
        # (n,) positions in the cache
        self.indices = np.flatnonzero(assigned == SPLITS.index(split))
        self.labels = np.asarray(entry.arrays["labels"])[self.indices]  # (n,) int64
        images, moments = entry.arrays["images"], entry.arrays["moments"]
        self.image_shape = (len(self.bands), *images.shape[1:3])  # bands, height, width
        # no pixel is to be filled
        self._clean = bool((moments[:, 0] == images[0, ..., 0].size).all())
        self._data = entry.meta["nodata"], entry.meta["valid_range"]
        count, total, squares = moments[assigned == 0].sum(0)[:, self.columns]
        if not count.all():
            raise ValueError(
                f"Band {self.bands[count.argmin()]!r} has no valid training pixel; omit it with `bands=`."
            )
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0))
        std[std <= 1e-6 * np.abs(mean)] = 1
        self.mean, self.std = mean.astype(np.float32), std.astype(np.float32)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> dict[str, Any]:
        sample = {"image": self.gather([i], standardise=False)[0][0], "label": int(self.labels[i])}
        return sample if self.transforms is None else self.transforms(sample)

    def gather(
        self, indices: Sequence[int] | np.ndarray | torch.Tensor, standardise: bool = True
    ) -> Batch:
        """Read images (n, bands, height, width) float32, channels last in memory, and labels (n,) int64.

        ``indices`` (n,) are positions in this split. Images are standardised or raw; ``transforms``
        are not applied.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        images = torch.empty((len(chosen), *self.image_shape), memory_format=torch.channels_last)
        out = images.permute(0, 2, 3, 1).numpy()  # (n, height, width, bands), the same memory
        scale = np.tile(1 / self.std, out.shape[1] * out.shape[2])
        shift = np.resize(self.mean, scale.shape) * scale
        # images at a time: the processor's cache holds them for all passes
        step = max(1, 65_536 // len(scale))
        for start in range(0, len(out), step):
            raw = self._entry.arrays["images"][self.indices[chosen[start : start + step]]][
                ..., self.columns
            ]
            part = out[start : start + step]
            part[:] = raw
            if standardise:
                rows = part.reshape(-1, len(scale))
                rows *= scale
                rows -= shift
            if not self._clean:
                np.copyto(
                    part,
                    np.float32(0) if standardise else self.mean,
                    where=~valid_pixels(raw, *self._data),
                )
        return images, torch.from_numpy(self.labels[chosen])
