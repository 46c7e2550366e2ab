"""Data sets: items, splits, errors; on small files made here, and on real data where HETLIB_DATA is set."""

import os
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.crs import CRS
from torch.testing import assert_close

from hetlib.datasets import LandCoverScene, SceneFolder, scenefolder
from hetlib.datasets.catalog import DATASETS, load_dataset
from hetlib.datasets.eurosat import EuroSAT
from hetlib.datasets.splits import SPLITS, zones

UTM = CRS.from_epsg(32633)
extra = Path(os.getenv("HETLIB_DATA", "none"))
real = pytest.mark.skipif(not extra.is_dir(), reason="HETLIB_DATA names no folder with real data")


def write_tif(path: Path, pixels: np.ndarray, names: tuple[str, ...] = (), **options: Any) -> Path:
    """Write (bands, height, width) with band names; ``tags`` and others in options."""
    tags, transform = (
        options.pop("tags", {}),
        options.pop("transform", rasterio.Affine(10, 0, 0, 0, -10, 0)),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    size = {
        "count": len(pixels),
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "dtype": pixels.dtype,
    }
    with rasterio.open(
        path, "w", driver="GTiff", crs=UTM, transform=transform, **size, **options
    ) as out:
        out.write(pixels)
        out.update_tags(**tags)
        if names:
            out.descriptions = names
    return path


@pytest.fixture
def scene(tmp_path: Path) -> dict[str, Any]:
    """A scene of 2 bands whose pixels are all different (the first counts them), 3 classes in stripes."""
    height, width = 60, 120
    first = np.arange(height * width, dtype=np.uint16).reshape(height, width)
    image = write_tif(tmp_path / "image.tif", np.stack([first, first[::-1]]), ("red", "nir"))
    labels = np.tile(np.arange(height)[:, None] // 5 % 4, width).astype(np.uint8)  # 0 is unlabelled
    tags = {"CLASS_1": "water", "CLASS_2": "wood", "CLASS_3": "field"}
    codes = write_tif(tmp_path / "labels.tif", labels[None], nodata=0, tags=tags)
    return {
        "image": image,
        "labels": codes,
        "window": 6,
        "cache": tmp_path / "cache",
        "per_class": 50,
    }


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Ten RGB images in each of three classes, PNG so that pixels stay as they are."""
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        (tmp_path / "tree" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "tree" / name / f"{i}.png")
    return tmp_path / "tree"


Open = Callable[..., SceneFolder]


@pytest.fixture
def open_tree(tree: Path, tmp_path: Path) -> Open:
    def opened(split: str = "train", **options: Any) -> SceneFolder:
        return SceneFolder(**{"root": tree, "split": split, "cache": tmp_path / "cache"} | options)

    return opened


# Every data set


def test_import_is_cheap() -> None:
    heavy = {"rasterio", "PIL", "torchvision", "matplotlib"}
    code = f"import sys, hetlib.datasets; print({heavy} & set(sys.modules))"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
    )
    assert done.stdout.strip() == "set()"


def test_item(scene: dict[str, Any]) -> None:
    dataset = LandCoverScene(**scene)
    item = dataset[0]
    assert item["image"].shape == dataset.image_shape == (2, 6, 6)
    assert item["image"].dtype == torch.float32
    assert isinstance(item["label"], int)
    row, column = dataset.centres[0]
    assert item["image"][0, 3, 3] == row * 120 + column  # raw values, the centre pixel in its place


def test_transforms(scene: dict[str, Any]) -> None:
    dataset = LandCoverScene(**scene, transforms=lambda sample: sample | {"label": 7})
    assert dataset[0]["label"] == 7


def test_attributes(scene: dict[str, Any]) -> None:
    dataset = LandCoverScene(**scene, split="test")
    assert dataset.classes == ("water", "wood", "field")
    assert dataset.bands == ("red", "nir")
    assert len(dataset) == len(dataset.labels) == 150
    assert dataset.labels.dtype == np.int64
    assert len(dataset.checksum) == 64
    assert dataset.split == "test"


def test_statistics_are_those_of_training(scene: dict[str, Any]) -> None:
    train = LandCoverScene(**scene)
    images = torch.stack([item["image"] for item in (train[i] for i in range(len(train)))]).double()
    for dataset in (train, LandCoverScene(**scene, split="test")):
        assert dataset.mean.dtype == dataset.std.dtype == np.float32
        np.testing.assert_allclose(dataset.mean, images.mean((0, 2, 3)), rtol=1e-6)
        np.testing.assert_allclose(dataset.std, images.std((0, 2, 3), correction=0), rtol=1e-6)


@pytest.mark.parametrize("bands", [None, ("red",), ("nir",), ("nir", "red")])
@pytest.mark.parametrize("indices", [[3, 0, 3], [], np.array([5]), torch.arange(40)])
def test_gather_is_the_items_standardised(scene: dict[str, Any], bands: Any, indices: Any) -> None:
    dataset = LandCoverScene(**scene, bands=bands)
    images, labels = dataset.gather(indices)
    assert images.shape == (len(indices), *dataset.image_shape)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.dtype == torch.int64
    for image, label, i in zip(images, labels, indices, strict=True):
        item = dataset[int(i)]
        mean, std = (torch.from_numpy(x)[:, None, None] for x in (dataset.mean, dataset.std))
        expected = (item["image"] - mean) / std
        assert_close(image, expected, atol=1e-5, rtol=1e-5)
        assert label == item["label"]
    assert_close(dataset.gather([0], standardise=False)[0][0], dataset[0]["image"])


def test_index_beyond_the_end(open_tree: Open) -> None:
    assert open_tree()[-1]["label"] == 2
    with pytest.raises(IndexError):
        open_tree()[18]


def test_a_copy_maps_the_cache(scene: dict[str, Any]) -> None:
    dataset = LandCoverScene(**scene)
    content = pickle.dumps(dataset)
    assert len(content) < dataset._entry.arrays["images"].nbytes / 2
    copy = pickle.loads(content)
    assert isinstance(copy._entry.arrays["images"], np.memmap)
    assert_close(copy.gather([1, 2])[0], dataset.gather([1, 2])[0])


@pytest.mark.parametrize("bands", [("blue",), (), "red", ("red", "blue")])
def test_unknown_bands(scene: dict[str, Any], bands: Any) -> None:
    with pytest.raises(ValueError, match=r"`bands` must be .*'red', 'nir'"):
        LandCoverScene(**scene, bands=bands)


def test_unknown_split_and_fractions(open_tree: Open) -> None:
    with pytest.raises(
        ValueError, match=r"`split` must be one of \('train', 'validation', 'test'\), got 'val'"
    ):
        open_tree("val")
    for fractions in ((0.5, 0.6, 0.3), (1.0,), (0, 0.5, 0.5), (1.2, -0.2, 0)):
        with pytest.raises(ValueError, match=r"`fractions` must be 3 shares"):
            open_tree(fractions=fractions)


# Scenes


@pytest.mark.parametrize("split_by", ["columns", "blocks"])
@pytest.mark.parametrize("window", [1, 4, 5])
def test_splits_share_no_pixel(scene: dict[str, Any], split_by: str, window: int) -> None:
    options = scene | {"split_by": split_by, "window": window, "fractions": (0.4, 0.2, 0.4)}
    pixels = []
    for split in SPLITS:
        dataset = LandCoverScene(**options, split=split)
        pixels.append(
            set(dataset.gather(range(len(dataset)), standardise=False)[0][:, 0].flatten().tolist())
        )
        assert len(pixels[-1]) > 0
    assert not pixels[0] & pixels[1] and not pixels[0] & pixels[2] and not pixels[1] & pixels[2]  # noqa: PT018


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    window=st.integers(1, 9),
    split_by=st.sampled_from(["columns", "blocks"]),
    block=st.integers(1, 40),
    seed=st.integers(0, 99),
    fractions=st.sampled_from([(0.6, 0.1, 0.3), (0.5, 0, 0.5), (1, 0, 0), (0.34, 0.33, 0.33)]),
)
def test_zones(
    shape: Any, window: int, split_by: str, block: int, seed: int, fractions: Any
) -> None:
    zone = zones(shape, window, split_by, fractions, block, seed)
    owner = np.full(shape, -1)
    for row, column in np.argwhere(zone >= 0):
        top, left = row - window // 2, column - window // 2
        assert min(top, left) >= 0
        assert top + window <= shape[0]
        assert left + window <= shape[1]
        covered = owner[top : top + window, left : left + window]
        assert np.isin(covered, (-1, zone[row, column])).all()
        covered[:] = zone[row, column]


def test_zones_leave_a_gap_of_a_window() -> None:
    zone = zones((20, 100), 6, "columns", (0.5, 0.0, 0.5), 1, 0)
    train, test = (np.flatnonzero((zone == s).any(0)) for s in (0, 2))
    last, first = train.max() - 3 + 5, test.min() - 3  # columns of the outermost windows
    assert first - last - 1 == 6


def test_windows_are_seeded_and_balanced(scene: dict[str, Any]) -> None:
    one, same, other = (LandCoverScene(**scene | {"seed": seed}) for seed in (1, 1, 2))
    assert np.array_equal(one.centres, same.centres)
    assert not np.array_equal(one.centres, other.centres)
    assert np.bincount(one.labels).tolist() == [50, 50, 50]
    assert len(np.unique(one.centres, axis=0)) == len(one)


def test_stride(scene: dict[str, Any]) -> None:
    assert (LandCoverScene(**scene, stride=3).centres % 3 == 0).all()


def test_pixels_without_data_become_the_mean(scene: dict[str, Any]) -> None:
    with rasterio.open(scene["image"]) as raster:
        pixels = raster.read().astype(np.int16)
    pixels[0, ::7] = -1  # nodata
    pixels[1, :, ::5] = 9999  # out of range
    write_tif(scene["image"], pixels, ("red", "nir"), nodata=-1)
    dataset = LandCoverScene(**scene, valid_range=(0, 9000))
    with rasterio.open(scene["image"]) as raster:
        raw = raster.read()
    standardised, filled = (
        dataset.gather(range(60))[0],
        dataset.gather(range(60), standardise=False)[0],
    )
    for k, (row, column) in enumerate(dataset.centres[:60]):
        window = raw[:, row - 3 : row + 3, column - 3 : column + 3]
        bad = torch.from_numpy((window < 0) | (window > 9000))
        assert not bad[:, 3, 3].any()
        assert (standardised[k][bad] == 0).all()
        assert_close(filled[k][~bad], torch.from_numpy(window)[~bad].float())
        assert_close(filled[k][0][bad[0]], torch.full((int(bad[0].sum()),), float(dataset.mean[0])))
        assert_close(dataset[k]["image"], filled[k])
    assert dataset.mean.max() < 9000


def test_a_changed_source_is_read_again(scene: dict[str, Any]) -> None:
    before = LandCoverScene(**scene)
    with rasterio.open(scene["image"], "r+") as raster:
        raster.write(raster.read() + 1)
    after = LandCoverScene(**scene)
    assert after.checksum != before.checksum
    assert after.mean[0] == before.mean[0] + 1


def test_labels_on_another_grid(scene: dict[str, Any], tmp_path: Path) -> None:
    moved = rasterio.Affine(10, 0, 5, 0, -10, 0)
    labels = write_tif(tmp_path / "moved.tif", np.ones((1, 60, 120), np.uint8), transform=moved)
    with pytest.raises(
        ValueError, match=r"moved.tif is on another grid .* than .*image.tif.*rio warp"
    ):
        LandCoverScene(**scene | {"labels": labels})


def test_labels_that_are_no_labels(scene: dict[str, Any], tmp_path: Path) -> None:
    labels = write_tif(tmp_path / "float.tif", np.ones((1, 60, 120), np.float32))
    with pytest.raises(ValueError, match=r"float\.tif must be one band of whole numbers"):
        LandCoverScene(**scene | {"labels": labels})


def test_class_without_window(scene: dict[str, Any]) -> None:
    with rasterio.open(scene["labels"], "r+") as raster:
        codes = raster.read()
        codes[:, :, :80][codes[:, :, :80] == 2] = 0
        raster.write(codes)
    with pytest.raises(ValueError, match=r"Class 'wood' of .* has no window for train.*`classes=`"):
        LandCoverScene(**scene)
    assert LandCoverScene(**scene, classes=("water", "field")).classes == ("water", "field")


def test_classes(scene: dict[str, Any]) -> None:
    assert LandCoverScene(**scene, classes={3: "land", 1: "sea"}).classes == ("land", "sea")
    with pytest.raises(
        ValueError, match=r"`classes` has \['sea'\]; .* has \['water', 'wood', 'field'\]"
    ):
        LandCoverScene(**scene, classes=("sea",))


def test_scene_arguments(scene: dict[str, Any]) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no file nowhere\.tif"):
        LandCoverScene(**scene | {"image": "nowhere.tif"})
    with pytest.raises(ValueError, match="`split_by` must be 'columns' or 'blocks', got 'rows'"):
        LandCoverScene(**scene, split_by="rows")
    with pytest.raises(
        ValueError, match=r"`per_class`, `stride` must be 1 or more, got \(6, 0, 1\)"
    ):
        LandCoverScene(**scene | {"per_class": 0})


@pytest.mark.parametrize("name", ["brandenburg", "wake"])
def test_embedded_scenes_have_all_classes_on_both_sides(name: str, tmp_path: Path) -> None:
    for split in ("train", "test"):
        dataset = load_dataset(name, split, per_class=40, cache=tmp_path)
        assert np.bincount(dataset.labels, minlength=len(dataset.classes)).min() > 0
        images = dataset.gather(range(len(dataset)))[0]
        assert images.isfinite().all()
        assert images.abs().max() < 60


# Folders of images


def test_splits_are_stratified_and_complete(open_tree: Open) -> None:
    parts = [open_tree(split, fractions=(0.6, 0.1, 0.3)) for split in SPLITS]
    assert [np.bincount(part.labels).tolist() for part in parts] == [[6] * 3, [1] * 3, [3] * 3]
    assert sorted(np.concatenate([part.indices for part in parts])) == list(range(30))


def test_split_is_seeded_over_one_cache(open_tree: Open, tmp_path: Path) -> None:
    one, same, other = open_tree(seed=1), open_tree(seed=1), open_tree(seed=2)
    assert np.array_equal(one.indices, same.indices)
    assert not np.array_equal(one.indices, other.indices)
    assert len(list((tmp_path / "cache").glob("*/images.npy"))) == 1


def test_groups_stay_together(open_tree: Open, tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    rows = [f"{name}/{i}.png,g{i // 2}" for name in ("a", "b") for i in range(10)]
    table.write_text("\n".join(["file,group", *rows]))
    for seed in range(5):
        groups = [
            # images are in the order of their names
            {int(i) % 10 // 2 for i in part.indices if i < 20}
            for part in (open_tree(split, groups=table, seed=seed) for split in SPLITS)
        ]
        assert sum(map(len, groups)) == len(set.union(*groups)) == 5


def test_unknown_file_in_groups(open_tree: Open, tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text("file,group\na/77.png,1\n")
    with pytest.raises(ValueError, match=r"groups.csv: .*a/77.png.* such as 'a/0.png'"):
        open_tree(groups=tmp_path / "groups.csv")


def test_equal_images_stay_together(open_tree: Open, tree: Path) -> None:
    for i in range(5):
        (tree / "b" / f"{i}.png").write_bytes((tree / "a" / "0.png").read_bytes())
    Image.open(tree / "a" / "0.png").transpose(Image.Transpose.ROTATE_90).save(tree / "b" / "4.png")
    for seed in range(5):
        parts = [open_tree(split, seed=seed).indices for split in SPLITS]
        assert sum(bool({0, 10, 11, 12, 13, 14} & set(part)) for part in parts) == 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_assign(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 60))
    labels = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    together = np.array(data.draw(st.lists(st.integers(0, n), min_size=n, max_size=n)))
    fractions = data.draw(st.sampled_from([(0.6, 0.1, 0.3), (1.0, 0.0, 0.0), (0.5, 0.0, 0.5)]))
    out = scenefolder.assign(labels, together, fractions, 0)
    assert all(len(set(out[together == group])) == 1 for group in set(together))
    out = scenefolder.assign(labels, np.arange(n), fractions, 0)
    for label in set(labels):
        shares = np.bincount(out[labels == label], minlength=3)
        np.testing.assert_allclose(shares, np.array(fractions) * (labels == label).sum(), atol=1)


def test_archives_are_read_in_place(open_tree: Open, tree: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "tree.tar", "w") as tar:
        tar.add(tree, "top")
    from shutil import make_archive

    packed = make_archive(str(tmp_path / "tree"), "zip", tree)
    plain = open_tree()
    for root in (tmp_path / "tree.tar", Path(packed)):
        dataset = open_tree(root=root)
        assert dataset.classes == plain.classes
        assert_close(dataset.gather([0, 5])[0], plain.gather([0, 5])[0])


def test_many_bands(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(10):
        pixels = rng.integers(0, 60_000, (13, 8, 8), dtype=np.uint16)
        write_tif(tmp_path / "tree" / f"c{i % 2}" / f"{i}.tif", pixels)
    dataset = SceneFolder(tmp_path / "tree", cache=tmp_path / "cache")
    assert dataset.image_shape == (13, 8, 8)
    assert dataset.bands[:2] == ("1", "2")
    with rasterio.open(tmp_path / "tree" / "c0" / "0.tif") as raster:
        images = SceneFolder(tmp_path / "tree", cache=tmp_path / "cache", fractions=(1, 0, 0))
        assert_close(images[0]["image"], torch.from_numpy(raster.read().astype(np.float32)))


def test_float_images_with_gaps(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).normal(size=(6, 2, 8, 8)).astype(np.float32)
    pixels[:, 0, 0] = np.nan
    for i in range(6):
        write_tif(tmp_path / "tree" / f"c{i % 2}" / f"{i}.tif", pixels[i], ("x", "y"))
    dataset = SceneFolder(tmp_path / "tree", cache=tmp_path / "cache", fractions=(1, 0, 0))
    assert dataset.bands == ("x", "y")
    np.testing.assert_allclose(dataset.mean[0], np.nanmean(pixels[:, 0]), rtol=1e-4)
    assert (dataset.gather([0])[0][0, 0, 0] == 0).all()


def test_mixed_sizes(open_tree: Open, tree: Path) -> None:
    Image.new("RGB", (9, 8)).save(tree / "c" / "0.png")
    with pytest.raises(
        ValueError, match=r"c/0.png is \(8, 9, 3\) uint8, but a/0.png is \(8, 8, 3\).*`size=`"
    ):
        open_tree()
    assert open_tree(size=4).image_shape == (3, 4, 4)


def test_mixed_band_counts(open_tree: Open, tree: Path) -> None:
    Image.new("L", (8, 8)).save(tree / "c" / "0.png")
    with pytest.raises(ValueError, match=r"c/0.png is \(8, 8, 1\)"):
        open_tree()


@pytest.mark.parametrize("keep", [0, 60, 150])
def test_corrupt_image(open_tree: Open, tree: Path, keep: int) -> None:
    (tree / "b" / "0.png").write_bytes((tree / "b" / "1.png").read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"b/0\.png cannot be read .*replace or remove it"):
        open_tree()


@pytest.mark.parametrize("compress", ["none", "deflate"])
@pytest.mark.parametrize("keep", [0, 0.5, 0.9])
def test_truncated_tif(tmp_path: Path, compress: str, keep: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 60_000, (4, 13, 16, 16), dtype=np.uint16)
    paths = [tmp_path / "tree" / f"c{i % 2}" / f"{i}.tif" for i in range(4)]
    for path, image in zip(paths, pixels, strict=True):
        write_tif(path, image, compress=compress)
    content = paths[1].read_bytes()
    paths[1].write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=r"c1/1\.tif cannot be read .*replace or remove it"):
        SceneFolder(tmp_path / "tree", cache=tmp_path / "cache")


def test_bad_trees(open_tree: Open, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere must be the folder above"):
        open_tree(root=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="must hold only class folders"):
        open_tree(root=tree / "a")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="must hold only class folders"):
        open_tree(root=tmp_path / "empty")
    (tmp_path / "file.txt").write_text("no archive")
    with pytest.raises(FileNotFoundError, match="or a tar or zip"):
        open_tree(root=tmp_path / "file.txt")
    with pytest.raises(ValueError, match=r"unknown classes \['c'\] and lacks \['d'\]"):
        open_tree(classes=("a", "b", "d"))
    with pytest.raises(ValueError, match=r"`band_names` must have 3 names .*got \('x',\)"):
        open_tree(band_names=("x",))
    (tree / "d").mkdir()
    with pytest.raises(ValueError, match=r"Class folder .*d holds no image"):
        open_tree()


# By name


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"`name` must be one of .*'brandenburg'.*got 'mars'"):
        load_dataset("mars")


def test_folder_in_hetlib_data(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HETLIB_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"rsscn7 needs `root=`, or .*HETLIB_DATA"):
        load_dataset("rsscn7")
    monkeypatch.setitem(DATASETS, "rsscn7", (SceneFolder, {"classes": ["a", "b", "c"]}, ("tree",)))
    assert load_dataset("rsscn7", cache=tmp_path / "cache").classes == ("a", "b", "c")


@pytest.mark.parametrize("layout", ["EuroSAT_RGB", "2750", "."])
def test_eurosat_layouts(tree: Path, tmp_path: Path, layout: str) -> None:
    for path in tree.glob("*/*.png"):
        target = tmp_path / "root" / layout / path.parent.name / f"{path.stem}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).save(target)
    dataset = EuroSAT(tmp_path / "root", cache=tmp_path / "cache")
    assert dataset.classes == ("a", "b", "c")
    assert dataset.bands == ("red", "green", "blue")


def test_eurosat_bands(tmp_path: Path) -> None:
    folder = tmp_path / "ds/images/remote_sensing/otherDatasets/sentinel_2/tif"
    for i in range(4):
        write_tif(folder / f"c{i % 2}" / f"{i}.tif", np.full((13, 4, 4), i, np.uint16))
    dataset = EuroSAT(tmp_path, version="ms", bands=("B8A", "B04"), cache=tmp_path / "cache")
    assert dataset.bands == ("B8A", "B04")


def test_eurosat_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"`root` is .*without EuroSAT; .*`download=True`"):
        EuroSAT(tmp_path)
    with pytest.raises(ValueError, match="`version` must be 'rgb' or 'ms', got 'x'"):
        EuroSAT(tmp_path, version="x")


def test_eurosat_download(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets.utils as tools

    def download(url: str, root: str, md5: str | None) -> None:
        assert url == "https://zenodo.org/records/7711810/files/EuroSAT_RGB.zip"
        assert md5 == "f46e308c4d50d4bf32fedad2d3d62f3b"
        os.rename(tree, Path(root) / "EuroSAT_RGB")  # noqa: PTH104

    monkeypatch.setattr(tools, "download_and_extract_archive", download)
    (tmp_path / "root").mkdir()
    dataset = EuroSAT(tmp_path / "root", download=True, cache=tmp_path / "cache")
    assert len(dataset) == 18
