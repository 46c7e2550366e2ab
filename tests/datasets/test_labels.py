"""Label rasters: what is unlabelled, which classes there are, and their names."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from hetlib.datasets import LandCoverScene
from hetlib.datasets.labels import read_labels

from .scenes import Options, write_tif

HEIGHT = 60
WIDTH = 120
STRIPES = np.tile(np.array([0, 1, 2, 9], np.int64), (HEIGHT, WIDTH // 4))


def with_labels(
    scene: Options,
    tmp_path: Path,
    codes: np.ndarray = STRIPES,
    kind: str = "uint8",
    **options: Any,
) -> Options:
    labels = write_tif(tmp_path / "codes.tif", codes[None].astype(kind), **options)
    return scene | {"labels": labels, "window": 2}


def codes_at_centres(dataset: LandCoverScene, codes: np.ndarray) -> dict[str, set[int]]:
    """Which numbers the raster has at the windows of each class."""
    found = codes[tuple(dataset.centres.T)]
    names = np.array(dataset.classes)[dataset.labels]
    return {str(name): set(found[names == name].tolist()) for name in np.unique(names)}


KINDS = (("uint8", 9), ("int16", -1), ("int16", -32768), ("uint16", 65535), ("int32", 9))


@pytest.mark.parametrize(("kind", "nodata"), KINDS)
def test_nodata_is_no_class_and_0_is_one(
    scene: Options, tmp_path: Path, kind: str, nodata: int
) -> None:
    codes = np.where(STRIPES == 9, nodata, STRIPES)
    options = with_labels(scene, tmp_path, codes, kind, nodata=nodata)
    dataset = LandCoverScene(**options)
    assert dataset.classes == ("class 0", "class 1", "class 2")
    assert codes_at_centres(dataset, codes) == {"class 0": {0}, "class 1": {1}, "class 2": {2}}

    named = LandCoverScene(**options, classes={0: "water", 2: "wood"})
    assert codes_at_centres(named, codes) == {"water": {0}, "wood": {2}}
    with pytest.raises(ValueError, match=rf"`classes` names {nodata}, but in .*codes\.tif that is"):
        LandCoverScene(**options, classes={nodata: "none", 1: "water"})


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("nodata", [np.nan, -9999, 255])
@pytest.mark.parametrize("says", [True, False])
def test_whole_numbers_written_as_floats(
    scene: Options, tmp_path: Path, kind: str, nodata: float, says: bool
) -> None:
    codes = np.where(STRIPES == 9, nodata, STRIPES)
    said = {"nodata": nodata} if says else {}
    dataset = LandCoverScene(**with_labels(scene, tmp_path, codes, kind, **said))
    expected = ["class 0", "class 1", "class 2"]
    if not (says or np.isnan(nodata)):
        expected[0] = f"class {nodata:g}"
    assert sorted(dataset.classes) == sorted(expected)
    if says:
        expected_codes = {"class 0": {0}, "class 1": {1}, "class 2": {2}}
        assert codes_at_centres(dataset, codes) == expected_codes


def test_floats_with_0_for_unlabelled(scene: Options, tmp_path: Path) -> None:
    dataset = LandCoverScene(**with_labels(scene, tmp_path, STRIPES, "float32"))
    assert dataset.classes == ("class 1", "class 2", "class 9")


def test_without_nodata_0_is_unlabelled_unless_it_has_a_name(
    scene: Options, tmp_path: Path
) -> None:
    options = with_labels(scene, tmp_path)
    assert LandCoverScene(**options).classes == ("class 1", "class 2", "class 9")
    named = LandCoverScene(**options, classes={0: "water", 9: "wood"})
    assert codes_at_centres(named, STRIPES) == {"water": {0}, "wood": {9}}

    tags = {"CLASS_0": "sea", "CLASS_9": "land"}
    tagged = LandCoverScene(**with_labels(scene, tmp_path, tags=tags))
    assert codes_at_centres(tagged, STRIPES) == {"sea": {0}, "land": {9}}


@pytest.mark.parametrize("inside", [True, False])
def test_a_mask_of_the_labels(scene: Options, tmp_path: Path, inside: bool) -> None:
    options = with_labels(scene, tmp_path)
    before = LandCoverScene(**options)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside),
        rasterio.open(options["labels"], "r+") as raster,
    ):
        raster.write_mask(STRIPES != 2)
    assert (tmp_path / "codes.tif.msk").exists() == (not inside)
    after = LandCoverScene(**options)
    assert "class 2" in before.classes
    assert after.classes == ("class 0", "class 1", "class 9")  # the mask says what is unlabelled


def test_a_tag_that_names_nodata_is_no_class(scene: Options, tmp_path: Path) -> None:
    tags = {"CLASS_9": "unlabelled", "CLASS_0": "sea", "CLASS_1": "land", "CLASS_²": "odd"}
    options = with_labels(scene, tmp_path, nodata=9, tags=tags)
    assert LandCoverScene(**options).classes == ("sea", "land")


def test_names_in_the_tags_of_the_band(scene: Options, tmp_path: Path) -> None:
    options = with_labels(scene, tmp_path, STRIPES - 1, "int16", nodata=8)
    with rasterio.open(options["labels"], "r+") as raster:
        raster.update_tags(1, **{"CLASS_-1": "sea", "CLASS_1": "land"})
    dataset = LandCoverScene(**options)
    assert codes_at_centres(dataset, STRIPES - 1) == {"sea": {-1}, "land": {1}}


def test_numbers_of_any_size(scene: Options, tmp_path: Path) -> None:
    large = np.where(STRIPES == 9, 4_000_000_000, STRIPES)
    options = with_labels(scene, tmp_path, large, "uint32")
    dataset = LandCoverScene(**options)
    assert dataset.classes == ("class 1", "class 2", "class 4000000000")
    with pytest.raises(ValueError, match=r"Class 'none' of .* has no window"):
        LandCoverScene(**options, classes={70_000_000_000: "none", 1: "one"})


def test_all_unlabelled(scene: Options, tmp_path: Path) -> None:
    nothing = np.zeros_like(STRIPES)
    message = r"codes\.tif has no labelled pixel.*classes=\{0: \.\.\.\}"
    for options in ({}, {"nodata": 0}):
        with pytest.raises(ValueError, match=message):
            LandCoverScene(**with_labels(scene, tmp_path, nothing, **options))


@pytest.mark.parametrize("kind", ["float32", "float64", "complex64"])
def test_labels_of_other_kinds(scene: Options, tmp_path: Path, kind: str) -> None:
    codes = STRIPES.astype(np.float64)
    codes[:, ::3] = np.nan
    codes[7, 4] = 0.5
    with pytest.raises(ValueError, match=r"codes\.tif.*(must be whole numbers, got 0\.5|complex)"):
        LandCoverScene(**with_labels(scene, tmp_path, codes, kind))


def test_labels_of_several_bands(scene: Options, tmp_path: Path) -> None:
    labels = write_tif(tmp_path / "three.tif", np.ones((3, HEIGHT, WIDTH), np.uint8))
    with pytest.raises(
        ValueError, match=r"three\.tif must be one band of whole numbers, got \('uin"
    ):
        LandCoverScene(**scene | {"labels": labels})


def test_codes_take_little_memory(scene: Options, tmp_path: Path) -> None:
    for kind, held in (("uint8", np.int16), ("uint16", np.int32), ("int32", np.int64)):
        options = with_labels(scene, tmp_path, kind=kind)
        codes, named = read_labels(options["labels"], scene["image"], None)
        assert codes.dtype == held
        assert set(named) == {1, 2, 9}
        assert (codes == np.iinfo(held).min).sum() == (STRIPES == 0).sum()
