"""Label rasters: their grid, their numbers, and the names of their classes."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from hetlib.datasets import LandCoverScene

from .scenes import Options, write_tif


def test_labels_on_another_grid(scene: Options, tmp_path: Path) -> None:
    moved = rasterio.Affine(10, 0, 5, 0, -10, 0)
    codes = np.ones((1, 60, 120), np.uint8)
    labels = write_tif(tmp_path / "moved.tif", codes, transform=moved)
    message = r"moved.tif is on another grid .* than .*image.tif.*rio warp"
    with pytest.raises(ValueError, match=message):
        LandCoverScene(**scene | {"labels": labels})


def test_labels_that_are_no_labels(scene: Options, tmp_path: Path) -> None:
    for bands, level in ((2, 1), (1, 1.5), (1, 1e12)):
        codes = np.full((bands, 60, 120), level, np.float32)
        labels = write_tif(tmp_path / "float.tif", codes)
        with pytest.raises(ValueError, match=r"float\.tif must be .*whole numbers, got"):
            LandCoverScene(**scene | {"labels": labels})


def test_classes(scene: Options) -> None:
    assert LandCoverScene(**scene, classes={3: "land", 1: "sea"}).classes == ("land", "sea")
    message = r"`classes` has \['sea'\]; .* has \['water', 'wood', 'field'\]"
    with pytest.raises(ValueError, match=message):
        LandCoverScene(**scene, classes=("sea",))
