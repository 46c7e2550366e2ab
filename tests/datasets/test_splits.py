"""Splits: of scenes, whose windows share no pixel, and of images, by class and by group."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hetlib.datasets import LandCoverScene
from hetlib.datasets.splits import SPLITS, assign, zones

from .scenes import Open, Options


def test_unknown_split_and_fractions(open_tree: Open) -> None:
    message = r"`split` must be one of \('train', 'validation', 'test'\), got 'val'"
    with pytest.raises(ValueError, match=message):
        open_tree("val")
    for fractions in ((0.5, 0.6, 0.3), (1.0,), (0, 0.5, 0.5), (1.2, -0.2, 0)):
        with pytest.raises(ValueError, match=r"`fractions` must be 3 shares"):
            open_tree(fractions=fractions)


# Scenes

WAYS = ("columns", "blocks")


def values_of_first_band(dataset: LandCoverScene) -> set[float]:
    images, _ = dataset.gather(range(len(dataset)), standardise=False)
    return set(images[:, 0].flatten().tolist())


@pytest.mark.parametrize("split_by", WAYS)
@pytest.mark.parametrize("window", [1, 4, 5])
def test_splits_share_no_pixel(scene: Options, split_by: str, window: int) -> None:
    scene["split_by"] = split_by
    scene["window"] = window
    scene["fractions"] = (0.4, 0.2, 0.4)
    pixels = []
    for split in SPLITS:
        dataset = LandCoverScene(**scene, split=split)
        pixels.append(values_of_first_band(dataset))
    assert all(pixels)
    for one, other in combinations(pixels, 2):
        assert not one & other


SHARES_OF_SCENES = ((0.6, 0.1, 0.3), (0.5, 0, 0.5), (1, 0, 0), (0.34, 0.33, 0.33))
SIZES = st.integers(1, 70)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(SIZES, SIZES),
    window=st.integers(1, 9),
    split_by=st.sampled_from(WAYS),
    block=st.integers(1, 40),
    seed=st.integers(0, 99),
    fractions=st.sampled_from(SHARES_OF_SCENES),
)
def test_zones(
    shape: Any,
    window: int,
    split_by: str,
    block: int,
    seed: int,
    fractions: Any,
) -> None:
    zone = zones(shape, window, split_by, fractions, block, seed)
    owner = np.full(shape, -1)
    height, width = shape
    for row, column in np.argwhere(zone >= 0):
        top = row - window // 2
        left = column - window // 2
        assert min(top, left) >= 0
        assert top + window <= height
        assert left + window <= width
        covered = owner[top : top + window, left : left + window]
        split = zone[row, column]
        assert np.isin(covered, (-1, split)).all()
        covered[:] = split


def test_zones_leave_a_gap_of_a_window() -> None:
    zone = zones((20, 100), 6, "columns", (0.5, 0.0, 0.5), 1, 0)
    train = np.flatnonzero((zone == 0).any(0))
    test = np.flatnonzero((zone == 2).any(0))
    last = train.max() - 3 + 5  # columns of the outermost windows
    first = test.min() - 3
    assert first - last - 1 == 6


# Images


def test_splits_are_stratified_and_complete(open_tree: Open) -> None:
    parts = [open_tree(split, fractions=(0.6, 0.1, 0.3)) for split in SPLITS]
    sizes = [np.bincount(part.labels).tolist() for part in parts]
    assert sizes == [[6, 6, 6], [1, 1, 1], [3, 3, 3]]
    everything = np.concatenate([part.indices for part in parts])
    assert sorted(everything) == list(range(30))


def test_split_is_seeded_over_one_cache(open_tree: Open, cache: Path) -> None:
    one = open_tree(seed=1)
    same = open_tree(seed=1)
    other = open_tree(seed=2)
    assert np.array_equal(one.indices, same.indices)
    assert not np.array_equal(one.indices, other.indices)
    assert len(list(cache.glob("*/images.npy"))) == 1


def test_groups_stay_together(open_tree: Open, tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    lines = ["file,group"]
    for name in ("a", "b"):
        lines += [f"{name}/{i}.png,g{i // 2}" for i in range(10)]
    table.write_text("\n".join(lines))
    for seed in range(5):
        groups = []
        for split in SPLITS:
            part = open_tree(split, groups=table, seed=seed)
            grouped = part.indices[part.indices < 20]  # images are in the order of their names
            groups.append(set((grouped % 10 // 2).tolist()))
        assert sum(map(len, groups)) == len(set.union(*groups)) == 5


def test_unknown_file_in_groups(open_tree: Open, tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    table.write_text("file,group\na/77.png,1\n")
    with pytest.raises(ValueError, match=r"groups.csv: .*a/77.png.* such as 'a/0.png'"):
        open_tree(groups=table)


def test_equal_images_stay_together(open_tree: Open, tree: Path) -> None:
    original = tree / "a" / "0.png"
    for i in range(5):
        (tree / "b" / f"{i}.png").write_bytes(original.read_bytes())
    turned = Image.open(original).transpose(Image.Transpose.ROTATE_90)
    turned.save(tree / "b" / "4.png")

    equal = {0, 10, 11, 12, 13, 14}
    for seed in range(5):
        parts = [set(open_tree(split, seed=seed).indices) for split in SPLITS]
        assert sum(bool(equal & part) for part in parts) == 1


SHARES_OF_IMAGES = ((0.6, 0.1, 0.3), (1.0, 0.0, 0.0), (0.5, 0.0, 0.5))


def draw_numbers(data: st.DataObject, n: int, highest: int) -> np.ndarray:
    """Draw n numbers from 0 to the highest."""
    numbers = st.lists(st.integers(0, highest), min_size=n, max_size=n)
    return np.array(data.draw(numbers))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_assign(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 60))
    labels = draw_numbers(data, n, 3)
    together = draw_numbers(data, n, n)
    fractions = data.draw(st.sampled_from(SHARES_OF_IMAGES))

    out = assign(labels, together, fractions, 0)
    for group in set(together):
        assert len(set(out[together == group])) == 1

    out = assign(labels, np.arange(n), fractions, 0)
    for label in set(labels):
        mine = labels == label
        shares = np.bincount(out[mine], minlength=3)
        wanted = np.array(fractions) * mine.sum()
        np.testing.assert_allclose(shares, wanted, atol=1)
