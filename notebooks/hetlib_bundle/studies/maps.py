"""A scene as a map: the split of each pixel, its reference and colours, written as a GeoTIFF."""

import inspect
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from hetlib.datasets import LandCoverScene
from hetlib.datasets.catalog import DATASETS, OWN_FILES, find, is_scene
from hetlib.datasets.labels import read_labels
from hetlib.datasets.naming import data_name
from hetlib.datasets.plotting import three_bands
from hetlib.datasets.rasters import read_scene
from hetlib.datasets.regions import stratified_splits
from hetlib.datasets.splits import zones
from hetlib.datasets.window_options import STRATIFIED, WindowOptions
from hetlib.mapping.colours import COLOURS, class_colours
from hetlib.mapping.geotiff import grid_of, open_map

__all__ = ["COLOURS", "Scene", "class_colours", "open_scene", "write_map"]

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
        grid: Height, width, ``crs`` and ``transform``, for rasterio.
    """

    name: str
    pixels: np.ndarray
    bands: tuple[str, ...]
    valid: np.ndarray
    zones: np.ndarray
    codes: np.ndarray
    classes: dict[int, str]
    window: int
    grid: dict[str, Any]

    def rgb(self) -> np.ndarray:
        """Return the scene in natural colour, stretched from the 2nd to the 98th percentile.

        Returns:
            (height, width, 3) in 0..1; white where a band has no data.
        """
        chosen = three_bands(self.bands)
        image = self.pixels[..., chosen].astype(np.float32)
        seen = np.logical_and.reduce(self.valid[..., chosen], axis=2)
        low, high = np.percentile(image[seen], SHOWN, axis=0)
        spread = np.maximum(high - low, 1e-6)  # a flat band divides by no zero
        stretched = np.clip((image - low) / spread, 0, 1)
        return np.where(seen[..., None], stretched, 1.0)


def open_scene(dataset: str, **options: Any) -> Scene:
    """Open the scene behind a data set of windows, with the splits of the same options.

    Args:
        dataset: Name of a `LandCoverScene` in `hetlib.datasets.DATASETS`, or "scene" for a raster
            of the reader's own, with its ``image`` and ``labels`` among the options.
        options: Options of the data set, such as ``split_by="blocks"``.

    Raises:
        ValueError: Another data set.
    """
    if not is_scene(dataset):
        scenes = [name for name in (*DATASETS, *OWN_FILES) if is_scene(name)]
        raise ValueError(f"`dataset` is {dataset!r}; only scenes can become maps: {scenes}.")
    given = _defaults() | find(dataset).settings | options
    raster = read_scene(given["image"])
    codes, classes = read_labels(given["labels"], given["image"], given["classes"])
    known = np.isin(codes, list(classes))
    valid = raster.valid(given["valid_range"])
    zone = split_map(codes, classes, np.asarray(valid.all(2)), given)
    return Scene(
        name=data_name(dataset, options),
        pixels=raster.pixels,
        bands=raster.bands,
        valid=valid,
        zones=zone,
        codes=np.where(known, codes, 0),
        classes=classes,
        window=given["window"],
        grid=grid_of(given["image"]),
    )


def split_map(
    codes: np.ndarray,
    classes: dict[int, str],
    valid: np.ndarray,
    given: dict[str, Any],
) -> np.ndarray:
    """Return the split of windows by their centre, as the data set has it.

    Args:
        codes: Class numbers of the pixels, (height, width).
        classes: The classes in use, by number.
        valid: Which pixels have data in each band, (height, width).
        given: Arguments of the data set.

    Returns:
        Positions in `SPLITS`, -1 where no window may be centred, (height, width) int8.
    """
    names = [field.name for field in fields(WindowOptions)]
    options = WindowOptions(**{name: given[name] for name in names})
    if options.split_by != STRATIFIED:
        return zones(
            codes.shape,
            options.window,
            options.split_by,
            options.fractions,
            options.side(),
            options.seed,
        )
    stride = options.stride
    usable = np.zeros(codes.shape, bool)
    usable[::stride, ::stride] = valid[::stride, ::stride]
    return stratified_splits(
        codes,
        classes,
        usable,
        window=options.window,
        regions=options.regions or options.side(),
        fractions=options.fractions,
        seed=options.seed,
    )


def _defaults() -> dict[str, Any]:
    """Return what a `LandCoverScene` takes where an option is not given."""
    parameters = inspect.signature(LandCoverScene).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


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
    description = f"land cover of {scene.name}, predicted"
    with open_map(path, scene.grid, scene.classes, description, tags) as raster:
        raster.write(predicted, 1)
    return path
