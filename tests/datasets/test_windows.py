"""Windows are cut block by block: the same as from the whole scene, in little memory."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from hetlib.datasets import LandCoverScene, memory, rasters
from hetlib.datasets.rasters import read_scene
from hetlib.datasets.windows import places_of

from .scenes import Options, write_tif

ROOT = Path(__file__).resolve().parents[2]
TILES = {"tiled": True, "blockxsize": 32, "blockysize": 16}
LAYOUTS = {"strips": {}, "tiles": TILES, "one band a block": TILES | {"interleave": "band"}}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("split_by", ["columns", "blocks"])
def test_blocks_are_as_the_whole(
    scene: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    layout: dict[str, Any],
    split_by: str,
) -> None:
    with rasterio.open(scene["image"]) as raster:
        pixels = raster.read()
    pixels[0, ::9] = 0
    write_tif(scene["image"], pixels, nodata=0, **layout)
    scene["split_by"] = split_by
    whole = LandCoverScene(**scene)

    monkeypatch.setattr(rasters, "BLOCK_BYTES", 6_000)
    by_blocks = LandCoverScene(**scene | {"cache": tmp_path / "other"})
    np.testing.assert_array_equal(by_blocks.centres, whole.centres)
    np.testing.assert_array_equal(by_blocks.mean, whole.mean)
    one, _ = whole.gather(range(len(whole)), standardise=False)
    other, _ = by_blocks.gather(range(len(whole)), standardise=False)
    assert one.equal(other)
    np.testing.assert_array_equal(read_scene(scene["image"]).pixels, pixels.transpose(1, 2, 0))


@pytest.mark.parametrize("most", [1, 500, 10_000, 10**9])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_blocks_cover_a_raster_once(
    scene: Options, monkeypatch: pytest.MonkeyPatch, layout: dict[str, Any], most: int
) -> None:
    monkeypatch.setattr(rasters, "BLOCK_BYTES", most)
    write_tif(scene["image"], np.zeros((2, 61, 123), np.uint16), **layout)
    seen = np.zeros((61, 123), int)
    with rasterio.open(scene["image"]) as raster:
        for block in rasters.blocks(raster, rasters.bands_in(raster)):
            seen[block] += 1
    assert (seen == 1).all()


def test_places_are_those_of_a_list_of_all() -> None:
    rng = np.random.default_rng(0)
    found = rng.random((50, 70)) < 0.2
    found[10:20] = False
    chosen = np.sort(rng.choice(found.sum(), 40, replace=False))
    places = places_of(found, np.count_nonzero(found, axis=1), chosen)
    np.testing.assert_array_equal(places, np.flatnonzero(found)[chosen])


# Adds the peak of memory, as a multiple of the scene's pixels.
PEAK = """
import resource
import sys

import rasterio
from hetlib.datasets import LandCoverScene
from hetlib.datasets.rasters import read_scene


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


image, labels, cache, way = sys.argv[1:]
with rasterio.open(image) as raster:  # what the packages take
    shape = raster.shape
    size = raster.width * raster.height * raster.count * 2
before = peak()
if way == "windows":
    LandCoverScene(image, labels, window=8, cache=cache)
else:
    read_scene(image)
print((peak() - before) / size)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units")
@pytest.mark.parametrize(("way", "allowed"), [("windows", 1.3), ("whole", 1.3)])
def test_a_scene_takes_little_more_than_its_pixels(
    tmp_path: Path, way: str, allowed: float
) -> None:
    side = 2_000
    shape = (10, side, side)
    pixels = np.broadcast_to(np.arange(10, dtype=np.uint16)[:, None, None], shape)
    image = write_tif(tmp_path / "image.tif", pixels)
    codes = np.tile(np.array([1, 2], np.uint8), (1, side, side // 2))
    labels = write_tif(tmp_path / "labels.tif", codes)
    command = [sys.executable, "-c", PEAK, image, labels, tmp_path / "cache", way]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert float(done.stdout) <= allowed


def write_sparse(path: Path, side: int, bands: int) -> Path:
    """Write a raster that says that it is huge, and takes a few KB."""
    tiles = {"tiled": True, "sparse_ok": True, "blockxsize": 4096, "blockysize": 4096}
    shape = {"width": side, "height": side, "count": bands, "dtype": "uint8"}
    grid = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 0, 0, -10, 0)}
    with rasterio.open(path, "w", driver="GTiff", BIGTIFF="YES", **shape, **tiles, **grid):
        return path


def test_scenes_larger_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = write_sparse(tmp_path / "image.tif", 200_000, 4)
    labels = write_sparse(tmp_path / "labels.tif", 200_000, 1)
    message = r"labels\.tif, 200000 x 200000 pixels, needs 149\.0 GiB of memory, .* GiB are avail"
    with pytest.raises(ValueError, match=message):
        LandCoverScene(image, labels, cache=tmp_path / "cache")
    with pytest.raises(ValueError, match=r"image\.tif, .* needs 223\.5 GiB of memory"):
        read_scene(image)


def test_windows_of_a_scene_larger_than_memory(
    scene: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = 60 * 120
    room = 8 * pixels  # for the labels, not for a scene of 20 bands
    monkeypatch.setattr(memory, "available_memory", lambda: room)
    write_tif(scene["image"], np.ones((20, 60, 120), np.uint16))
    assert len(LandCoverScene(**scene)) == 150
    with pytest.raises(ValueError, match="LandCoverScene"):
        read_scene(scene["image"])
