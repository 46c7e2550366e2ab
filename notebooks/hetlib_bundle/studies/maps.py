"""A scene as a map: the split of each pixel, what a network says of it, written as a GeoTIFF."""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.colors
import numpy as np
import torch
from torch import nn

from hetlib.datasets import DATASETS, ImageDataset, LandCoverScene
from hetlib.datasets.rasters import read_labels, read_scene
from hetlib.datasets.splits import SPLITS, zones
from hetlib.datasets.statistics import valid_pixels
from hetlib.training.evaluation import confusion_matrix, scores

Colour = tuple[int, int, int, int]  # 8-bit RGBA

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

NOTHING: Colour = (255, 255, 255, 0)  # of class 0: white, transparent

BATCH = 1024  # windows that go through the network at once

SCORES = ("oa", "aa", "kappa")

SHOWN = (2, 98)  # percentiles of a band that natural colour is stretched between


@dataclass(frozen=True)
class Scene:
    """A scene with its reference; arrays are (height, width, ...).

    Attributes:
        name: Of the data set.
        pixels: (height, width, bands), in the file's own type and the data set's order of bands.
        bands: Their names.
        valid: (height, width, bands) bool: where a value is data.
        zones: (height, width) int8: split that may have a window centred here, -1 for none.
        codes: (height, width) class numbers of the reference, 0 for none.
        classes: Names by class number, in the order of the network's outputs.
        window: Height and width of the images, in pixels.
        georeference: ``crs`` and ``transform``, for rasterio.
    """

    name: str
    pixels: np.ndarray
    bands: tuple[str, ...]
    valid: np.ndarray
    zones: np.ndarray
    codes: np.ndarray
    classes: dict[int, str]
    window: int
    georeference: dict[str, Any]

    def rgb(self) -> np.ndarray:
        """Return the scene in natural colour, stretched from the 2nd to the 98th percentile.

        Returns:
            (height, width, 3) in 0..1; white where a band has no data.
        """
        chosen = colour_bands(self.bands)
        image = self.pixels[..., chosen].astype(np.float32)
        seen = np.logical_and.reduce(self.valid[..., chosen], axis=2)
        low, high = np.percentile(image[seen], SHOWN, axis=0)
        spread = np.maximum(high - low, 1e-6)  # a flat band divides by no zero
        stretched = np.clip((image - low) / spread, 0, 1)
        return np.where(seen[..., None], stretched, 1.0)


def open_scene(dataset: str, **options: Any) -> Scene:
    """Open the scene behind a data set of windows, with the splits of the same options.

    Args:
        dataset: Name of a `LandCoverScene` in `hetlib.datasets.DATASETS`.
        options: Options of the data set, such as ``split_by="blocks"``.

    Raises:
        ValueError: Another data set.
    """
    scenes = [name for name, known in DATASETS.items() if known[0] is LandCoverScene]
    if dataset not in scenes:
        raise ValueError(f"`dataset` is {dataset!r}; only scenes can become maps: {scenes}.")
    given = _defaults() | DATASETS[dataset][1] | options
    pixels, bands, nodata = read_scene(given["image"])
    codes, classes = read_labels(given["labels"], given["image"], given["classes"])
    known = np.isin(codes, list(classes))
    window = given["window"]
    zone = zones(
        pixels.shape[:2],
        window,
        given["split_by"],
        given["fractions"],
        8 * window,  # as the data set takes its blocks
        given["seed"],
    )
    return Scene(
        name=dataset,
        pixels=pixels,
        bands=bands,
        valid=valid_pixels(pixels, nodata, given["valid_range"]),
        zones=zone,
        codes=np.where(known, codes, 0),
        classes=classes,
        window=window,
        georeference=_georeference(given["image"]),
    )


def _defaults() -> dict[str, Any]:
    """Return what a `LandCoverScene` takes where an option is not given."""
    parameters = inspect.signature(LandCoverScene).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


def _georeference(path: Path) -> dict[str, Any]:
    """Return where a raster lies, as rasterio takes it when it writes one."""
    import rasterio

    with rasterio.open(path) as raster:
        return {"crs": raster.crs, "transform": raster.transform}


def class_colours(classes: Mapping[int, str]) -> dict[int, Colour]:
    """Return a colour for each class number, and white, transparent, for 0."""
    import seaborn as sns

    spare = iter(sns.color_palette("tab20", len(classes)))
    colours = {0: NOTHING}
    for number, name in classes.items():
        chosen = COLOURS.get(name)
        if chosen is None:
            chosen = next(spare)
        colours[number] = _eight_bits(chosen)
    return colours


def _eight_bits(colour: Any) -> Colour:
    """Return an opaque colour, however matplotlib writes it, in whole numbers to 255."""
    rgb = np.array(matplotlib.colors.to_rgb(colour))
    red, green, blue = np.rint(255 * rgb).astype(int).tolist()
    return red, green, blue, 255


def predict(
    network: nn.Module,
    data: ImageDataset,
    scene: Scene,
    *,
    split: str = "test",
    stride: int = 1,
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

    Raises:
        ValueError: A stride below 1.
    """
    if stride < 1:
        raise ValueError(f"`stride` is {stride}; it must be 1 or more.")
    inside = scene.zones == SPLITS.index(split)
    wanted = inside & scene.valid.all(2)
    middle = stride // 2
    picked = np.nonzero(wanted[middle::stride, middle::stride])
    rows, columns = (middle + stride * each for each in picked)
    numbers = np.array(list(scene.classes), dtype=np.uint8)
    found = np.zeros(wanted.shape, dtype=np.uint8)
    network.eval()
    with torch.inference_mode():
        for r, c, images in _batches(data, scene, rows, columns):
            outputs = network(images).argmax(1)
            found[r, c] = numbers[outputs.numpy()]
    filled = _squares(found, stride)
    return np.where(wanted, filled, 0).astype(np.uint8)


class _Windows(NamedTuple):
    """Some pixels and the windows around them.

    Attributes:
        rows: (n,).
        columns: (n,).
        images: (n, bands, window, window), channels last in memory.
    """

    rows: np.ndarray
    columns: np.ndarray
    images: torch.Tensor


def _batches(
    data: ImageDataset,
    scene: Scene,
    rows: np.ndarray,
    columns: np.ndarray,
) -> Iterator[_Windows]:
    """Yield some pixels in batches, with their windows as the network saw them in training."""
    values = (scene.pixels.astype(np.float32) - data.mean) / data.std
    values[~scene.valid] = 0
    window = (scene.window, scene.window)
    views = np.lib.stride_tricks.sliding_window_view(values, window, axis=(0, 1))
    half = scene.window // 2
    for start in range(0, len(rows), BATCH):
        r = rows[start : start + BATCH]
        c = columns[start : start + BATCH]
        cut = views[r - half, c - half]  # (n, bands, window, window)
        last = np.ascontiguousarray(cut.transpose(0, 2, 3, 1))
        images = torch.from_numpy(last).permute(0, 3, 1, 2)
        yield _Windows(r, c, images)


def _squares(found: np.ndarray, stride: int) -> np.ndarray:
    """Fill each square of ``stride`` pixels with its middle; what is left at the edges is 0."""
    middle = stride // 2
    middles = found[middle::stride, middle::stride]
    blocks = middles.repeat(stride, axis=0).repeat(stride, axis=1)
    height = min(found.shape[0], blocks.shape[0])
    width = min(found.shape[1], blocks.shape[1])
    filled = np.zeros_like(found)
    filled[:height, :width] = blocks[:height, :width]
    return filled


def confusion(predicted: np.ndarray, scene: Scene) -> np.ndarray:
    """Count pixels that have both a reference and a prediction.

    Args:
        predicted: Class numbers, (height, width), 0 where nothing is predicted.
        scene: With the reference.

    Returns:
        (true, predicted) counts, (classes, classes).
    """
    both = (predicted > 0) & (scene.codes > 0)
    order = np.zeros(max(scene.classes) + 1, dtype=np.int64)
    order[list(scene.classes)] = np.arange(len(scene.classes))
    true = torch.from_numpy(order[scene.codes[both]])
    said = torch.from_numpy(order[predicted[both]])
    return confusion_matrix(true, said, len(scene.classes)).numpy()


def score_row(
    predicted: np.ndarray,
    scene: Scene,
    windows: Mapping[str, float],
) -> dict[str, Any]:
    """Return one row of the table of scores: on the map, of its commonest class, on the windows.

    Args:
        predicted: Class numbers, (height, width), 0 where nothing is predicted.
        scene: With the reference.
        windows: Scores of the same network on the test windows.
    """
    counts = confusion(predicted, scene)
    on_map = scores(counts)
    row = {
        "dataset": scene.name,
        "pixels predicted": int((predicted > 0).sum()),
        "with reference": int(counts.sum()),
    }
    for score in SCORES:
        row[f"{score} (map)"] = on_map[score]
    row["commonest class"] = counts.sum(1).max() / counts.sum()
    for score in SCORES:
        row[f"{score} (windows)"] = windows[score]
    return row


def write_map(
    path: Path,
    predicted: np.ndarray,
    scene: Scene,
    **tags: str,
) -> Path:
    """Write class numbers as a GeoTIFF on the scene's grid, with colours and the class names.

    The names are tags ``CLASS_<number>``, as in the label files, so that `LandCoverScene` reads the
    map as a reference.

    Args:
        path: Of the file; its folder is made.
        predicted: Class numbers (height, width) uint8.
        scene: Whose grid it is.
        tags: Further ones.

    Returns:
        The path.
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
        "nodata": 0,
        "compress": "deflate",
        **scene.georeference,
    }
    names = {f"CLASS_{number}": name for number, name in scene.classes.items()}
    with rasterio.open(path, "w", **options) as raster:
        raster.write(predicted, 1)
        raster.write_colormap(1, class_colours(scene.classes))
        raster.set_band_description(1, f"land cover of {scene.name}, predicted")
        raster.update_tags(**names, **tags)
    return path


def colour_bands(names: Sequence[str]) -> list[int]:
    """Return the positions of red, green and blue (or B04, B03, B02), or three times the first."""
    found = []
    for pattern in ("red|b04", "green|b03", "blue|b02"):
        for position, name in enumerate(names):
            if re.search(pattern, name.lower()):
                found.append(position)
                break
        else:
            return [0, 0, 0]
    return found
