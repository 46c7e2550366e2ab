"""EuroSAT through a frozen network: what a new last layer learns from, and which images look alike.

The features are made once and kept in the cache, by the checksum of the images and of the weights;
so are colours and textures, which classical methods learn from.
"""

from typing import NamedTuple

import numpy as np
import torch

from hetlib.datasets import cache as store
from hetlib.datasets import load_dataset
from hetlib.datasets.images import ImageDataset
from hetlib.models.lite0 import MIDDLE, SPREAD, pretrained_lite0, weights_file

# Images that go through the network together.
AT_ONCE = 64

# Side of the small images that look-alikes are found on, in pixels.
THUMBNAIL = 8

# Mean absolute difference of the thumbnails of look-alikes, in grey levels of 0 to 255. Copies that
# were saved as JPEG again differ by less than 1; from 2 on, all open water is one group.
ALIKE = 1.25

# Ways to look at an image from above: as it is, turned by a quarter, mirrored, and both.
VIEWS = ((0, False), (1, False), (0, True), (1, True))

# Raise it when the content of an entry changes.
FORMAT = 2
STATISTICS_FORMAT = 1

# Of the grey levels of a band.
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class Frozen(NamedTuple):
    """A data set as a frozen network sees it.

    Attributes:
        features: (views, n, 1280) float32; the first view is the image as it is.
        statistics: (n, 27) float32, of colour and texture, from `statistics`.
        labels: (n,) int64.
        groups: Look-alikes have equal numbers, (n,).
        classes: Names.
    """

    features: np.ndarray
    statistics: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...]


def frozen_eurosat() -> Frozen:
    """Return all images of EuroSAT, or of the part of it that ``HETLIB_DATA`` has.

    Raises:
        DatasetNotFoundError: ``HETLIB_DATA`` has no EuroSAT.
        MissingDependencyError: The extra with the weights is not installed.
    """
    everything = (1.0, 0.0, 0.0)
    images = load_dataset("eurosat", fractions=everything)
    assert isinstance(images, ImageDataset)  # as every data set with a name of ours
    folder = store.CACHE
    content = {
        "frozen": FORMAT,
        "images": images.checksum,
        "weights": store.checksum({"weights": weights_file()}, folder),
    }
    seen_by_network = store.fetch(folder, content, lambda _: _see(images)).arrays
    counted = {"statistics": STATISTICS_FORMAT, "images": images.checksum}
    by_hand = store.fetch(folder, counted, lambda _: _describe(images)).arrays
    return Frozen(
        features=np.array(seen_by_network["features"]),
        statistics=np.array(by_hand["statistics"]),
        labels=images.labels,
        groups=np.array(seen_by_network["groups"]),
        classes=images.classes,
    )


def _describe(images: ImageDataset) -> store.Content:
    """Return what a cache entry of statistics holds."""
    raw, _ = images.gather(np.arange(len(images)), standardise=False)
    return {}, {"statistics": statistics(raw).numpy()}


def statistics(images: torch.Tensor) -> torch.Tensor:
    """Return colours and textures of images, (n, 9 bands).

    Of each band: mean, standard deviation, five quantiles, and the mean absolute difference of
    neighbours in a row and in a column.

    Args:
        images: (n, bands, height, width), grey levels.
    """
    pixels = images.flatten(2)
    quantiles = torch.quantile(pixels, torch.tensor(QUANTILES), dim=2)
    parts = [
        pixels.mean(2),
        pixels.std(2),
        *quantiles,
        images.diff(dim=3).abs().mean((2, 3)),
        images.diff(dim=2).abs().mean((2, 3)),
    ]
    return torch.cat(parts, dim=1)


def _see(images: ImageDataset) -> store.Content:
    """Return what a cache entry holds."""
    network = pretrained_lite0().eval()
    features = []
    thumbnails = []
    for part in np.array_split(np.arange(len(images)), -(-len(images) // AT_ONCE)):
        raw, _ = images.gather(part, standardise=False)
        scaled = (raw - MIDDLE) / SPREAD
        with torch.no_grad():
            views = [network.features(seen(scaled, *view)) for view in VIEWS]
        features.append(torch.stack(views))
        small = torch.nn.functional.adaptive_avg_pool2d(raw, THUMBNAIL)
        thumbnails.append(small.flatten(1))
    small = torch.cat(thumbnails).contiguous()
    arrays = {
        "features": torch.cat(features, dim=1).numpy(),
        "groups": look_alikes(small),
    }
    return {}, arrays


def seen(images: torch.Tensor, quarters: int, mirrored: bool) -> torch.Tensor:
    """Return a view of images from above.

    Args:
        images: (n, bands, height, width).
        quarters: How often they are turned by a quarter.
        mirrored: Whether they are mirrored after it.
    """
    turned = torch.rot90(images, quarters, (2, 3))
    return turned.flip(3) if mirrored else turned


def look_alikes(thumbnails: torch.Tensor, apart: float = ALIKE) -> np.ndarray:
    """Return a number for each image; those that look alike, also over others, have the same.

    Args:
        thumbnails: (n, pixels), grey levels.
        apart: Largest mean absolute difference of images that look alike.

    Returns:
        The lowest position of an image of the group, (n,).
    """
    difference = torch.cdist(thumbnails, thumbnails, p=1) / thumbnails.shape[1]
    near = difference <= apart
    groups = torch.arange(len(thumbnails))
    while True:
        # the lowest number among the neighbours, until nothing changes
        spread = torch.where(near, groups, len(groups)).amin(1)
        if torch.equal(spread, groups):
            return groups.numpy()
        groups = spread
