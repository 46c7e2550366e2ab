r"""A network's map of a whole scene: each pixel is classified by the window around it.

The scene is read and the map is written tile by tile, so that memory does not grow with it. At the
rim the window is filled by reflection: the pixel k beyond the edge is the one k before it.
"""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from hetlib.datasets.bands import Bands, read_values
from hetlib.datasets.rasters import Block, bands_in, names_of, open_raster
from hetlib.datasets.samples import check_shape, labelled_image
from hetlib.datasets.statistics import out_of_range
from hetlib.datasets.types import File, Names
from hetlib.environment import version
from hetlib.errors import DatasetNotFoundError
from hetlib.inputs import path as checked_path
from hetlib.inputs import whole
from hetlib.mapping.geotiff import grid_of, nothing_of, open_map, type_of
from hetlib.mapping.network import TrainedNetwork, network_of, network_on
from hetlib.mapping.tiles import around, columns_of, middles, tiles
from hetlib.training.opening import Data
from hetlib.training.records import RunRecord

# Values of a tile, and of the windows that go through the network at once: 16 MB each.
TILE_VALUES = 1 << 22
MOST_WINDOWS = 1024


def predict_map(
    network: RunRecord | nn.Module,
    image: File,
    out: File,
    *,
    data: Data | None = None,
    classes: Mapping[int, str] | None = None,
    bands: Names = None,
    stride: int = 1,
) -> Path:
    """Write the map of a whole scene, to its rim, as a trained network sees it.

    The scene may be that of the training or any other; no labels are needed.

    Args:
        network: The record that `train` returned with ``keep_weights=True``; or a network of one's
            own, then with ``data``.
        image: GeoTIFF, or whatever GDAL reads, of any size, with the bands that the network takes.
        out: GeoTIFF to write: class numbers on the scene's grid, with a colour table, the names of
            the classes and where the map comes from; 0 where a pixel has no data.
        data: What the network was trained on, its training split.
        classes: Names by class number, in the order of the network's outputs; None: those of the
            data.
        bands: Names of the scene's bands in the network's order; None: by the training's names,
            else by their order.
        stride: Pixels between predicted ones; 3 predicts the middle of each square of 3 x 3 for all
            of it.

    Returns:
        The path of the map.

    Raises:
        ValueError: The network has no weights or data, the bands do not fit, or a file cannot be
            read.
        DatasetNotFoundError: There is no such scene.

    Example:
        >>> record = hetlib.train(experiment, replicas, keep_weights=True)
        >>> hetlib.predict_map(record, "scene.tif", "map.tif")
    """
    stride = whole("stride", stride, low=1)
    source = checked_path("image", image)
    target = checked_path("out", out)
    if not source.exists():
        raise DatasetNotFoundError(f"There is no file {source}; give the path of a GeoTIFF.")
    if target.exists() and target.samefile(source):
        raise ValueError(f"`out` is {str(target)!r}, the scene itself; name another file.")
    trained = _trained(network, data, classes)

    description = f"land cover of {source.stem}, predicted by {trained.name}"
    tags = provenance(trained, source)
    was_training = trained.network.training
    trained.network.eval()
    try:
        with (
            open_raster(source) as raster,
            open_map(target, grid_of(source), trained.classes, description, tags) as written,
            torch.inference_mode(),
        ):
            scene = _Scene.of(raster, trained, bands)
            for tile in tiles(raster.shape, scene.side(stride)):
                codes = predict_tile(trained, scene, tile, stride)
                written.write(codes, 1, window=tile.window())
    finally:
        trained.network.train(was_training)
    return target


def provenance(trained: TrainedNetwork, image: Path) -> dict[str, str]:
    """Return the tags that say where a map comes from.

    Args:
        trained: The network.
        image: The scene.
    """
    now = datetime.datetime.now(tz=datetime.UTC)
    return {
        "TIFFTAG_SOFTWARE": f"hetlib {version()}",
        "TIFFTAG_DATETIME": now.strftime("%Y:%m:%d %H:%M:%S"),
        "IMAGE": image.name,
        "NETWORK": trained.name,
        **trained.about,
    }


def _trained(
    network: RunRecord | nn.Module, data: Data | None, classes: Mapping[int, str] | None
) -> TrainedNetwork:
    """Return a network with what a map needs of its training."""
    if isinstance(network, RunRecord):
        return network_of(network)
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"`network` is {type(network).__name__}; it must be the record of a training with "
            "`keep_weights=True`, or a torch.nn.Module with `data`."
        )
    if data is None:
        raise ValueError(
            "`data` is None; give the training split that the network learnt from, which has the "
            "bands' mean and deviation and the classes."
        )
    return network_on(network, data, classes)


class _Scene(NamedTuple):
    """A scene that is read by windows.

    Attributes:
        raster: Opened by rasterio.
        bands: What it says of its bands.
        columns: Which of them the network takes, in its order.
    """

    raster: Any
    bands: Bands
    columns: list[int]

    @classmethod
    def of(cls, raster: Any, trained: TrainedNetwork, wanted: Names) -> "_Scene":
        bands = bands_in(raster)
        columns = columns_of(names_of(bands), trained.bands, wanted, raster.name)
        return cls(raster, bands, columns)

    def side(self, stride: int) -> int:
        """Return the side of a tile, a multiple of the stride."""
        pixels = TILE_VALUES // len(self.bands.numbers)
        most = max(int(pixels**0.5), 16)
        return max(most // stride, 1) * stride


def predict_tile(trained: TrainedNetwork, scene: _Scene, tile: Block, stride: int) -> np.ndarray:
    """Return the class numbers of a tile.

    Args:
        trained: The network, in evaluation mode.
        scene: The scene.
        tile: The part.
        stride: Pixels between predicted ones.

    Returns:
        Class numbers of the tile, (height, width).
    """
    height, width = scene.raster.shape
    high, wide = trained.window
    down = around(tile.rows, high, height)
    across = around(tile.columns, wide, width)
    values, valid = read_part(trained, scene, down, across)
    rows = middles(tile.rows, stride)
    columns = middles(tile.columns, stride)

    shape = (tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start)
    there = valid[high // 2 :, wide // 2 :][: shape[0], : shape[1]]
    views = np.lib.stride_tricks.sliding_window_view(values, (high, wide), axis=(0, 1))
    picked = np.argwhere(there[np.ix_(rows, columns)])
    nothing = nothing_of(trained.classes)
    found = np.full((len(rows), len(columns)), nothing, type_of(trained.classes))
    numbers = np.array(list(trained.classes), found.dtype)
    step = windows_at_a_time(trained)
    for start in range(0, len(picked), step):
        r, c = picked[start : start + step].T
        cut = views[rows[r], columns[c]]  # (n, bands, window, window)
        found[r, c] = numbers[classify(trained, cut)]

    squares = found.repeat(stride, axis=0).repeat(stride, axis=1)
    codes = squares[: shape[0], : shape[1]]
    codes[~there] = nothing
    return codes


def windows_at_a_time(trained: TrainedNetwork) -> int:
    """Return how many windows go through a network at once.

    Args:
        trained: The network.
    """
    high, wide = trained.window
    values = len(trained.bands) * high * wide
    return min(MOST_WINDOWS, max(1, TILE_VALUES // values))


def read_part(
    trained: TrainedNetwork, scene: _Scene, down: np.ndarray, across: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Read a part of a scene as the network saw images in training.

    Args:
        trained: The network.
        scene: The scene.
        down: Its rows, in any order.
        across: Its columns.

    Returns:
        Values (rows, columns, bands) float32, standardised, 0 where there is no data (without
        transforms; with them the raw values, and the mean there); and where a pixel has data in
        every band, (rows, columns).
    """
    block = Block(slice(down.min(), down.max() + 1), slice(across.min(), across.max() + 1))
    numbers, gaps = read_values(scene.raster, scene.bands, block.window())
    here = np.ix_(down - block.rows.start, across - block.columns.start, scene.columns)
    raw = numbers[here]
    empty = np.zeros(raw.shape, bool)
    if gaps is not None:
        empty |= gaps[here]
    if trained.valid_range is not None:
        empty |= out_of_range(raw, trained.valid_range)
    values = raw.astype(np.float32)
    if trained.transforms is None:
        values = (values - trained.mean) / trained.std
        values[empty] = 0
    else:
        values = np.where(empty, trained.mean, values)
    valid = np.logical_not(empty.any(axis=2))
    return values, valid


def classify(trained: TrainedNetwork, windows: np.ndarray) -> np.ndarray:
    """Return the position of the class of each window.

    Args:
        trained: The network.
        windows: As `read_part` has their values, (n, bands, height, width).

    Returns:
        (n,) int64.
    """
    weight = next(trained.network.parameters())
    last = np.ascontiguousarray(windows.transpose(0, 2, 3, 1))
    images = torch.from_numpy(last).permute(0, 3, 1, 2)
    if trained.transforms is not None:
        images = _transformed(trained, images)
    outputs = trained.network(images.to(weight.device, weight.dtype))
    if outputs.shape != (len(windows), len(trained.classes)):
        names = list(trained.classes.values())
        raise ValueError(
            f"`network` turns {len(windows)} windows into {tuple(outputs.shape)}; it must be one "
            f"number for each of the {len(names)} classes {names}."
        )
    return outputs.argmax(1).cpu().numpy()


def _transformed(trained: TrainedNetwork, images: torch.Tensor) -> torch.Tensor:
    """Return raw images transformed and then standardised."""
    assert trained.transforms is not None
    changed = torch.empty_like(images)
    for place, image in enumerate(images):
        sample = labelled_image(trained.transforms({"image": image, "label": 0}), "a window")
        check_shape(sample, tuple(image.shape), "a window after `transforms`")
        changed[place] = torch.from_numpy(sample.image)
    mean = torch.from_numpy(trained.mean)[:, None, None]
    return (changed - mean) / torch.from_numpy(trained.std)[:, None, None]
