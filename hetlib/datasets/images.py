"""What every data set here is: labelled images in a memory-mapped cache.

They are read one by one or gathered. A data set of one's own makes the cache entry (see
:class:`ImageDataset`), assigns each image to a split, and leaves the rest to the class here.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from hetlib.datasets import cache as store
from hetlib.datasets.arguments import chosen_names, transform
from hetlib.datasets.plotting import plot_sample
from hetlib.datasets.splits import SPLITS
from hetlib.datasets.statistics import mean_and_deviation
from hetlib.datasets.types import Batch, Names, Transforms

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Values of images that are standardised at a time: the processor's cache holds them for all passes.
VALUES_AT_A_TIME = 65_536


class ImageDataset(Dataset):
    """One split of labelled images, mapped from the cache, whose memory other processes share.

    Items are ``{"image": (bands, height, width) float32, "label": 0-d int64}``, as torchgeo has
    them, with raw values (those of the file, after its scale and offset where it has some); pixels
    without data hold the band's mean. Data sets take ``split`` ("train", "validation" or "test"),
    ``bands`` (names of those to use), ``valid_range`` (lowest and highest value that is data,
    besides what the files say), ``transforms`` (applied to each item) and ``cache`` (a folder
    instead of ``HETLIB_CACHE``).

    Attributes:
        split: Its name.
        bands: Names of the bands in use.
        classes: Names of the classes, in the order of their labels.
        checksum: SHA-256 of the source.
        indices: Positions of the images in the cache, (n,).
        labels: (n,) int64.
        image_shape: Bands, height, width.
        mean: Of the training split's valid pixels, (bands,) float32.
        std: Their deviation, (bands,) float32; 1 for a constant band.
        shards: The order in which replicas own the items, (n,); None: any may draw any.
        columns: Which of the cache's bands are in use.
        transforms: Applied to each item.
    """

    def __init__(
        self,
        entry: store.Entry,
        assigned: np.ndarray,
        split: str,
        *,
        bands: Names = None,
        transforms: Transforms = None,
    ):
        """Open one split of a cache entry.

        Args:
            entry: Arrays ``images`` (all, height, width, bands), ``labels`` (all,), ``moments``
                (all, 3, bands) and, where pixels are without data, ``gaps`` (True for those, like
                ``images``); ``meta`` with ``bands``, ``classes`` and ``checksum``.
            assigned: Positions in `SPLITS`, (all,).
            split: Name of the split to open.
            bands: Names of those to use; None is all.
            transforms: Applied to each item.
        """
        known: list[str] = entry.meta["bands"]
        self.bands = chosen_names("bands", bands, known)
        self.columns = columns_of(self.bands, known)
        self.split = split
        self.transforms = transform(transforms)
        self.shards: np.ndarray | None = None
        self._entry = entry

        self.classes = tuple(entry.meta["classes"])
        self.checksum = str(entry.meta["checksum"])
        self.indices = np.flatnonzero(assigned == SPLITS.index(split))
        self.labels = np.asarray(entry.arrays["labels"])[self.indices]

        images = entry.arrays["images"]
        self.image_shape = (len(self.bands), *images.shape[1:3])

        moments = entry.arrays["moments"]
        training = moments[assigned == SPLITS.index("train")]
        summed = training.sum(0)[:, self.columns]
        self.mean, self.std = mean_and_deviation(summed, self.bands)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> dict[str, Any]:
        images, _ = self.gather([i], standardise=False)
        sample = {"image": images[0], "label": torch.tensor(int(self.labels[i]))}
        if self.transforms is None:
            return sample
        return self.transforms(sample)

    def plot(
        self,
        sample: Mapping[str, Any],
        show_titles: bool = True,
        suptitle: str | None = None,
    ) -> "Figure":
        """Draw a sample, as torchgeo's data sets do: bands by name as red, green and blue.

        Args:
            sample: An item, also a transformed one, and with a ``"prediction"``.
            show_titles: Write class and bands above.
            suptitle: A title of one's own.

        Returns:
            A figure of matplotlib; one pixel's values over the bands for images of 1 x 1.
        """
        return plot_sample(
            sample,
            self.bands,
            self.classes,
            show_titles=show_titles,
            suptitle=suptitle,
        )

    def gather(
        self,
        indices: Sequence[int] | np.ndarray | torch.Tensor,
        standardise: bool = True,
    ) -> Batch:
        """Read images and labels; ``transforms`` are not applied.

        Args:
            indices: Positions in this split, (n,).
            standardise: Subtract each band's mean and divide by its deviation; pixels without data
                become 0. Otherwise values are raw, and those pixels hold the mean.

        Returns:
            Images (n, bands, height, width) float32, channels last in memory, and labels (n,)
            int64.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        places = self.indices[chosen]
        stored = self._entry.arrays["images"]
        gaps = self._entry.arrays.get("gaps")
        shape = (len(chosen), *self.image_shape)
        images = torch.empty(shape, memory_format=torch.channels_last)
        out = images.permute(0, 2, 3, 1).numpy()  # (n, height, width, bands), the same memory

        scale = np.tile(1 / self.std, out.shape[1] * out.shape[2])
        shift = np.resize(self.mean, scale.shape) * scale
        fill: np.ndarray | np.floating = self.mean
        if standardise:
            fill = np.float32(0)

        step = max(1, VALUES_AT_A_TIME // len(scale))
        for start in range(0, len(out), step):
            now = slice(start, start + step)
            raw = stored[places[now]][..., self.columns]
            part = out[now]
            part[:] = raw
            if standardise:
                rows = part.reshape(-1, len(scale))
                rows *= scale
                rows -= shift
            if gaps is not None:
                empty = gaps[places[now]][..., self.columns]
                np.copyto(part, fill, where=empty)
        return images, torch.from_numpy(self.labels[chosen])


def columns_of(bands: Sequence[str], known: list[str]) -> slice | list[int]:
    """Return where bands are among all; all of them are a slice, which needs no copy.

    Args:
        bands: Names of those to use.
        known: Names of all.

    Returns:
        An index of the last axis of images.
    """
    if list(bands) == known:
        return slice(None)
    return [known.index(band) for band in bands]
