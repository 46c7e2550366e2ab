"""A scene as a map: which pixel belongs to which split, what a network says of each, written as a GeoTIFF."""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lazy_loader as lazy
import matplotlib.colors
import numpy as np
import torch
from torch import nn

from hetlib.datasets import LandCoverScene
from hetlib.datasets.catalog import DATASETS
from hetlib.datasets.images import ImageDataset
from hetlib.datasets.rasters import read_labels, read_scene
from hetlib.datasets.splits import SPLITS, zones
from hetlib.datasets.statistics import valid_pixels
from hetlib.training.evaluation import confusion_matrix

sns: Any = lazy.load("seaborn")


# Class: colour on maps. Others get one of a palette.
COLOURS = {
    "water": "#3B75AF",
    "forest": "#1B5E20",
    "farm": "#E3C565",
    "agriculture": "#E3C565",
    "meadow": "#9CCC65",
    "herbaceous": "#9CCC65",
    "grass": "#C5E1A5",
    "scrub": "#8D6E63",
    "shrubland": "#8D6E63",
    "wetland": "#4DB6AC",
    "residential": "#C62828",
    "developed": "#C62828",
    "sediment": "#BDBDBD",
}


BATCH = 1024  # windows that go through the network at once


@dataclass(frozen=True)
class Scene:
    """A scene with its reference; arrays are (height, width, ...)."""

    name: str
    # (height, width, bands), in the file's own type and the data set's order of bands
    pixels: np.ndarray
    bands: tuple[str, ...]
    valid: np.ndarray  # (height, width, bands) bool: where a value is data
    # (height, width) int8: split that may have a window centred here, -1 for none
    zones: np.ndarray
    codes: np.ndarray  # (height, width) class numbers of the reference, 0 for none
    classes: dict[int, str]  # by class number, in the order of the network's outputs
    window: int  # height and width of the images, in pixels
    georeference: dict[str, Any]  # crs and transform, for rasterio

    def rgb(self) -> np.ndarray:
        """Return the scene in natural colour, (height, width, 3) in 0..1, from the 2nd to the 98th percentile."""
        chosen = colour_bands(self.bands)
        image, seen = (
            self.pixels[..., chosen].astype(np.float32),
            np.logical_and.reduce(self.valid[..., chosen], axis=2),
        )
        low, high = np.percentile(image[seen], (2, 98), axis=0)
        stretched = np.clip((image - low) / np.maximum(high - low, 1e-6), 0, 1)
        return np.where(seen[..., None], stretched, 1.0)


def open_scene(dataset: str, **options: Any) -> Scene:
    """Open the scene behind a data set of windows, with the splits that the same options give there.

    Args:
        dataset: Name of a `LandCoverScene` in `hetlib.datasets.DATASETS`.
        options: Options of the data set, such as ``split_by="blocks"``.
    """
    scenes = [name for name, (kind, _, _) in DATASETS.items() if kind is LandCoverScene]
    if dataset not in scenes:
        raise ValueError(f"`dataset` is {dataset!r}; only scenes can become maps: {scenes}.")
    import rasterio

    defaults = {name: p.default for name, p in inspect.signature(LandCoverScene).parameters.items()}
    given = defaults | DATASETS[dataset][1] | options
    pixels, bands, nodata = read_scene(given["image"])
    codes, classes = read_labels(given["labels"], given["image"], given["classes"])
    window, shape = given["window"], pixels.shape[:2]
    zone = zones(shape, window, given["split_by"], given["fractions"], 8 * window, given["seed"])
    with rasterio.open(given["image"]) as raster:
        georeference = {"crs": raster.crs, "transform": raster.transform}
    valid = valid_pixels(pixels, nodata, given["valid_range"])
    codes = np.where(np.isin(codes, list(classes)), codes, 0)
    return Scene(dataset, pixels, bands, valid, zone, codes, classes, window, georeference)


def class_colours(classes: Mapping[int, str]) -> dict[int, tuple[int, int, int, int]]:
    """Return an 8-bit RGBA colour for each class number, and white, transparent, for 0."""
    spare = iter(sns.color_palette("tab20", len(classes)))
    chosen = {
        number: COLOURS[name] if name in COLOURS else next(spare)
        for number, name in classes.items()
    }
    scaled = {
        n: np.rint(255 * np.array(matplotlib.colors.to_rgba(colour))).astype(int)
        for n, colour in chosen.items()
    }
    return {0: (255, 255, 255, 0)} | {
        n: (int(c[0]), int(c[1]), int(c[2]), 255) for n, c in scaled.items()
    }


def predict(
    network: nn.Module, data: ImageDataset, scene: Scene, *, split: str = "test", stride: int = 1
) -> np.ndarray:
    """Predict the pixels of one split of a scene.

    A pixel is predicted from the window around it, where that lies within the split and the pixel
    has data in every band; windows are standardised as the network saw them in training.

    Args:
        network: Trained network, in evaluation mode afterwards.
        data: The data set it was trained on, for the bands' mean and deviation.
        scene: The same data set's scene.
        split: Name of the split.
        stride: Pixels between predicted ones; 3 predicts the middle of each square of 3 x 3 for all
            of it.

    Returns:
        Class numbers (height, width) uint8, 0 where nothing is predicted.
    """
    if stride < 1:
        raise ValueError(f"`stride` is {stride}; it must be 1 or more.")
    wanted = (scene.zones == SPLITS.index(split)) & scene.valid.all(2)
    values = (scene.pixels.astype(np.float32) - data.mean) / data.std
    values[~scene.valid] = 0
    views = np.lib.stride_tricks.sliding_window_view(
        values, (scene.window, scene.window), axis=(0, 1)
    )
    middle, half = stride // 2, scene.window // 2
    rows, columns = (
        middle + stride * found for found in np.nonzero(wanted[middle::stride, middle::stride])
    )
    numbers, found = (
        np.array(list(scene.classes), dtype=np.uint8),
        np.zeros(wanted.shape, dtype=np.uint8),
    )
    network.eval()
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            r, c = rows[start : start + BATCH], columns[start : start + BATCH]
            images = np.ascontiguousarray(views[r - half, c - half].transpose(0, 2, 3, 1))
            # channels last in memory
            outputs = network(torch.from_numpy(images).permute(0, 3, 1, 2))
            found[r, c] = numbers[outputs.argmax(1).numpy()]
    blocks = found[middle::stride, middle::stride].repeat(stride, axis=0).repeat(stride, axis=1)
    filled = np.zeros_like(found)
    height, width = min(len(found), len(blocks)), min(found.shape[1], blocks.shape[1])
    filled[:height, :width] = blocks[:height, :width]
    return np.where(wanted, filled, 0).astype(np.uint8)


def confusion(predicted: np.ndarray, scene: Scene) -> np.ndarray:
    """Count (true, predicted) pixels where there is both a reference and a prediction: (classes, classes)."""
    both = (predicted > 0) & (scene.codes > 0)
    order = np.zeros(max(scene.classes) + 1, dtype=np.int64)
    order[list(scene.classes)] = np.arange(len(scene.classes))
    true, said = (torch.from_numpy(order[codes[both]]) for codes in (scene.codes, predicted))
    return confusion_matrix(true, said, len(scene.classes)).numpy()


def write_map(path: Path, predicted: np.ndarray, scene: Scene, **tags: str) -> Path:
    """Write class numbers as a GeoTIFF on the scene's grid, with a colour table and the class names as tags.

    The tags are ``CLASS_<number>``, as in the label files, so that `LandCoverScene` reads the map
    as a reference.
    """
    import rasterio

    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = predicted.shape
    options: dict[str, Any] = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 1,
        "dtype": "uint8",
    }
    with rasterio.open(
        path, "w", nodata=0, compress="deflate", **options, **scene.georeference
    ) as raster:
        raster.write(predicted, 1)
        raster.write_colormap(1, class_colours(scene.classes))
        raster.set_band_description(1, f"land cover of {scene.name}, predicted")
        raster.update_tags(
            **{f"CLASS_{number}": name for number, name in scene.classes.items()}, **tags
        )
    return path


def colour_bands(names: Sequence[str]) -> list[int]:
    """Return the positions of red, green and blue (or B04, B03, B02), or three times the first band's."""
    patterns = ("red|b04", "green|b03", "blue|b02")
    found = [
        [i for i, name in enumerate(names) if re.search(pattern, name.lower())]
        for pattern in patterns
    ]
    return [positions[0] for positions in found] if all(found) else [0, 0, 0]
