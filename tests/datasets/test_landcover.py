"""Windows of a scene: which are drawn, and what is refused."""

import numpy as np
import pytest
import rasterio

from hetlib.datasets import LandCoverScene
from hetlib.errors import DatasetNotFoundError

from .scenes import Options


def test_windows_are_seeded_and_balanced(scene: Options) -> None:
    one = LandCoverScene(**scene, seed=1)
    same = LandCoverScene(**scene, seed=1)
    other = LandCoverScene(**scene, seed=2)
    assert np.array_equal(one.centres, same.centres)
    assert not np.array_equal(one.centres, other.centres)
    assert np.bincount(one.labels).tolist() == [50, 50, 50]
    assert len(np.unique(one.centres, axis=0)) == len(one)


def test_stride(scene: Options) -> None:
    assert (LandCoverScene(**scene, stride=3).centres % 3 == 0).all()


def test_a_changed_source_is_read_again(scene: Options) -> None:
    before = LandCoverScene(**scene)
    with rasterio.open(scene["image"], "r+") as raster:
        raster.write(raster.read() + 1)
    after = LandCoverScene(**scene)
    assert after.checksum != before.checksum
    assert after.mean[0] == before.mean[0] + 1


def test_class_without_window(scene: Options) -> None:
    with rasterio.open(scene["labels"], "r+") as raster:
        codes = raster.read()
        left = codes[:, :, :80]  # with all of training
        left[left == 2] = 0
        raster.write(codes)
    with pytest.raises(ValueError, match=r"Class 'wood' of .* has no window for train.*`classes=`"):
        LandCoverScene(**scene)
    others = ("water", "field")
    assert LandCoverScene(**scene, classes=others).classes == others


def test_scene_arguments(scene: Options) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"There is no file nowhere\.tif"):
        LandCoverScene(**scene | {"image": "nowhere.tif"})
    with pytest.raises(
        ValueError, match="`split_by` must be 'columns', 'blocks' or 'stratified', got 'rows'"
    ):
        LandCoverScene(**scene, split_by="rows")
    message = r"`per_class`, `stride` must be 1 or more, got \(6, 0, 1\)"
    with pytest.raises(ValueError, match=message):
        LandCoverScene(**scene | {"per_class": 0})
