"""Regions dealt to the splits: each class in each, no pixel in two, the same for the same seed."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import rasterio

from hetlib.datasets import LandCoverScene, load_dataset
from hetlib.datasets.catalog import DATA
from hetlib.datasets.deals import distinct
from hetlib.datasets.regions import grown, squares, stratified_splits
from hetlib.datasets.splits import SPLITS

from .scenes import Options, write_tif

SHARES = (0.5, 0.1, 0.4)


def read_codes(name: str) -> np.ndarray:
    with rasterio.open(DATA / f"{name}_labels.tif") as raster:
        return raster.read(1).astype(np.int64)


def covered_by(splits: np.ndarray, codes: np.ndarray, split: int, window: int) -> np.ndarray:
    """True for the pixels of all windows of a split."""
    half = window // 2
    out = np.zeros(splits.shape, bool)
    for row, column in np.argwhere((splits == split) & (codes > 0)):
        top = row - half
        left = column - half
        assert top >= 0
        assert left >= 0
        patch = out[top : top + window, left : left + window]
        assert patch.shape == (window, window)
        patch[:] = True
    return out


@pytest.mark.parametrize("seed", range(10))
def test_each_class_of_wake_is_in_each_split_for_every_seed(seed: int) -> None:
    codes = read_codes("wake")
    named = {number: str(number) for number in range(1, 8)}
    splits = stratified_splits(
        codes, named, codes > 0, window=16, regions=64, fractions=SHARES, seed=seed
    )
    for split in range(len(SPLITS)):
        counts = np.bincount(codes[splits == split], minlength=8)[1:]
        assert counts.min() >= 10


@pytest.mark.parametrize(("window", "block"), [(1, 8), (4, 7), (9, 9)])
def test_windows_of_two_splits_share_no_pixel(window: int, block: int) -> None:
    codes = read_codes("indian_pines")
    named = {2: "corn-notill", 11: "soybean-mintill", 14: "woods"}
    codes[~np.isin(codes, list(named))] = 0
    splits = stratified_splits(
        codes, named, codes > 0, window=window, regions=block, fractions=SHARES, seed=3
    )
    covered = [covered_by(splits, codes, split, window) for split in range(3)]
    assert not (covered[0] & covered[1]).any()
    assert not (covered[0] & covered[2]).any()
    assert not (covered[1] & covered[2]).any()


def test_seeds_deal_differently_and_the_same_seed_alike(scene: Options) -> None:
    given = scene | {"split_by": "stratified", "block": 10}
    one = LandCoverScene(**given, seed=1)
    same = LandCoverScene(**given, seed=1)
    other = LandCoverScene(**given, seed=2)
    assert np.array_equal(one.centres, same.centres)
    blocks = {tuple(centre) for centre in one.centres // 10}
    assert blocks != {tuple(centre) for centre in other.centres // 10}


@pytest.mark.parametrize(
    ("name", "split_by", "digest"),
    [
        ("brandenburg", "columns", "8682693705987e8b"),
        ("brandenburg", "blocks", "d28216df21798235"),
        ("wake", "columns", "d2c4b5662dcbe231"),
    ],
)
def test_windows_of_recorded_runs_stay(
    name: str, split_by: str, digest: str, tmp_path: Path
) -> None:
    drawn = hashlib.sha256()
    for split in SPLITS:
        data = load_dataset(name, split, split_by=split_by, per_class=40, cache=tmp_path)
        drawn.update(np.ascontiguousarray(data.centres).astype("<i8").tobytes())
    assert drawn.hexdigest()[:16] == digest


def test_a_class_of_one_small_field_is_named(scene: Options) -> None:
    with rasterio.open(scene["labels"], "r+") as raster:
        codes = raster.read()
        codes[codes == 2] = 0
        codes[:, 30:33, 60:63] = 2
        raster.write(codes)
    given = scene | {"split_by": "stratified", "block": 10}
    message = r"lacks 'wood' \(train \d, validation \d, test \d windows\)\. Leave .*`classes=`"
    with pytest.raises(ValueError, match=message):
        LandCoverScene(**given)
    assert LandCoverScene(**given, classes=("water", "field")).classes == ("water", "field")


def test_regions_of_the_readers_own_stay_whole(scene: Options, tmp_path: Path) -> None:
    numbers = squares((60, 120), 15) * 3 + 5
    path = write_tif(tmp_path / "farms.tif", numbers[None])
    given = scene | {"split_by": "stratified", "regions": path, "window": 3}
    farms = []
    for split in SPLITS:
        data = LandCoverScene(split=split, **given)
        assert set(data.labels) == {0, 1, 2}
        rows, columns = data.centres.T
        farms.append(set(numbers[rows, columns].tolist()))
    assert not farms[0] & farms[1]
    assert not farms[0] & farms[2]
    assert not farms[1] & farms[2]

    other = write_tif(tmp_path / "other.tif", numbers[None, :50])
    with pytest.raises(ValueError, match=r"other\.tif must be whole numbers of regions on"):
        LandCoverScene(**given | {"regions": other})


def test_options_of_regions(scene: Options, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`block` is 5; it must be a whole number >= 6"):
        LandCoverScene(**scene, split_by="stratified", block=5)
    with pytest.raises(ValueError, match="`regions` are dealt by `split_by='stratified'`"):
        LandCoverScene(**scene, regions=tmp_path / "farms.tif")


def test_regions_grow_to_their_neighbours() -> None:
    regions = np.full((5, 9), -1, np.int32)
    regions[2, 1] = 0
    regions[2, 7] = 1
    out = grown(regions, 2)
    assert (out[:, :4] == 0).all()
    assert (out[:, 4] == -1).all()
    assert (out[:, 5:] == 1).all()


def test_distinct_numbers_of_rows() -> None:
    rows = np.array([[3, 1, 3, 1], [2, 2, 2, 2], [5, 4, 4, 9]])
    found = [set(row) for row in distinct(rows).tolist()]
    assert found == [{1, 3}, {2}, {4, 5, 9}]
    assert distinct(rows).shape == (3, 3)
