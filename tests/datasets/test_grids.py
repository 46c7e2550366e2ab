"""Grids are compared in pixels, coordinate systems by what they mean."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio import Affine
from rasterio.crs import CRS

from hetlib.datasets import LandCoverScene
from hetlib.datasets.grids import difference_of, same_system

from .scenes import UTM, Options, write_tif

HEIGHT = 60
WIDTH = 120

GRIDS = {
    "metres": Affine(10, 0, 4e5, 0, -10, 5e6),
    "drone in degrees": Affine(3e-7, 0, 13.0, 0, -3e-7, 52.0),
    "rotated": Affine.translation(4e5, 5e6) @ Affine.rotation(30) @ Affine.scale(10, -10),
    "south up": Affine(10, 0, 4e5, 0, 10, 5e6),
    "none": Affine.identity(),
}

# Pixels by which labels are moved: whether they are still on the grid.
MOVED = ((0.0, True), (0.01, True), (-0.02, True), (0.5, False), (-1.0, False), (1.5, False))


def difference(tmp_path: Path, one: Options, other: Options) -> str:
    for name, options in (("one", one), ("other", other)):
        write_tif(tmp_path / f"{name}.tif", np.ones((1, HEIGHT, WIDTH), np.uint8), **options)
    with (
        rasterio.open(tmp_path / "one.tif") as first,
        rasterio.open(tmp_path / "other.tif") as last,
    ):
        return difference_of(first, last)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize(("moved", "same"), MOVED)
def test_displaced_by_pixels(tmp_path: Path, grid: Affine, moved: float, same: bool) -> None:
    for shift in (Affine.translation(moved, 0), Affine.translation(0, moved)):
        found = difference(tmp_path, {"transform": grid @ shift}, {"transform": grid})
        assert (found == "") == same
        if not same:
            assert f"displaced by {abs(moved):.3g} pixels" in found


def test_other_sizes_of_pixels(tmp_path: Path) -> None:
    grid = GRIDS["metres"]
    near = {"transform": grid @ Affine.scale(1 + 1e-5)}
    far = {"transform": grid @ Affine.scale(1.01)}
    assert not difference(tmp_path, near, {"transform": grid})
    assert "displaced by 1.2 pixels" in difference(tmp_path, far, {"transform": grid})


def test_flipped_and_turned(tmp_path: Path) -> None:
    north = {"transform": GRIDS["metres"]}
    south = {"transform": Affine(10, 0, 4e5, 0, 10, 5e6 - 10 * HEIGHT)}  # the same corners
    assert "displaced by 60 pixels" in difference(tmp_path, south, north)
    assert "displaced" in difference(tmp_path, {"transform": GRIDS["rotated"]}, north)


def test_other_shape_or_system(scene: Options, tmp_path: Path) -> None:
    small = write_tif(tmp_path / "small.tif", np.ones((1, 50, 120), np.uint8))
    with pytest.raises(
        ValueError, match=r"another grid .*it has \(50, 120\) pixels, not \(60, 120"
    ):
        LandCoverScene(**scene | {"labels": small})
    for system in ("EPSG:32634", "EPSG:25833", None):
        other = difference(tmp_path, {"crs": system}, {"crs": UTM})
        assert f"its CRS is {system}, not EPSG:32633" in other


def test_labels_without_a_system(scene: Options, tmp_path: Path) -> None:
    labels = write_tif(tmp_path / "bare.tif", np.ones((1, 60, 120), np.uint8), crs=None)
    with pytest.raises(ValueError, match=r"write it into .*bare\.tif \(`rio edit-info --crs`\)"):
        LandCoverScene(**scene | {"labels": labels})


WRITTEN: dict[str, Any] = {
    "words of PROJ": "+proj=utm +zone=33 +datum=WGS84 +units=m +no_defs",
    "WKT of ESRI": UTM.to_wkt(version="WKT1_ESRI"),
    "new WKT": UTM.to_wkt(version="WKT2_2019"),
    "without a name": UTM.to_wkt().replace("WGS 84 / UTM zone 33N", "unknown"),
    "without a number": UTM.to_wkt().replace(',AUTHORITY["EPSG","32633"]', ""),
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_systems_of_equal_meaning(text: str) -> None:
    written = CRS.from_string(text)
    assert same_system(UTM, written)
    assert not same_system(CRS.from_epsg(32634), written)


def test_degrees_in_either_order_of_axes() -> None:
    assert same_system(CRS.from_epsg(4326), CRS.from_string("OGC:CRS84"))
    assert same_system(None, None)
    assert same_system(CRS(), None)
    assert not same_system(CRS.from_epsg(4326), None)
