"""Images of every format: read as they are, in folders and archives, or refused by name."""

import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from torch.testing import assert_close

from hetlib.datasets import SceneFolder
from hetlib.datasets.decoding import chunks
from hetlib.datasets.layouts import Layout
from hetlib.datasets.pictures import Shape
from hetlib.datasets.trees import open_tree as list_tree

from .scenes import Open, write_tif, write_tifs


def test_archives_are_read_in_place(open_tree: Open, tree: Path, tmp_path: Path) -> None:
    packed = tmp_path / "tree.tar"
    with tarfile.open(packed, "w") as tar:
        tar.add(tree, "top")
    zipped = Path(shutil.make_archive(str(tmp_path / "tree"), "zip", tree))

    plain = open_tree()
    images, _ = plain.gather([0, 5])
    for root in (packed, zipped):
        dataset = open_tree(root=root)
        assert dataset.classes == plain.classes
        same, _ = dataset.gather([0, 5])
        assert_close(same, images)


def test_many_bands(tmp_path: Path, cache: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60_000, (10, 13, 8, 8), dtype=np.uint16)
    write_tifs(tmp_path / "tree", pixels)
    dataset = SceneFolder(tmp_path / "tree", cache=cache)
    assert dataset.image_shape == (13, 8, 8)
    assert dataset.bands[:2] == ("1", "2")

    everything = SceneFolder(tmp_path / "tree", cache=cache, fractions=(1, 0, 0))
    first = torch.from_numpy(pixels[0].astype(np.float32))
    assert_close(everything[0]["image"], first)


def test_float_images_with_gaps(tmp_path: Path, cache: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(6, 2, 8, 8)).astype(np.float32)
    pixels[:, 0, 0] = np.nan
    write_tifs(tmp_path / "tree", pixels, names=("x", "y"))
    dataset = SceneFolder(tmp_path / "tree", cache=cache, fractions=(1, 0, 0))
    assert dataset.bands == ("x", "y")

    mean = np.nanmean(pixels[:, 0])
    np.testing.assert_allclose(dataset.mean[0], mean, rtol=1e-4)
    images, _ = dataset.gather([0])
    assert (images[0, 0, 0] == 0).all()


def test_mixed_sizes(open_tree: Open, tree: Path) -> None:
    Image.new("RGB", (9, 8)).save(tree / "c" / "0.png")
    message = r"c/0.png is \(8, 9, 3\) uint8, but a/0.png is \(8, 8, 3\).*`size=`"
    with pytest.raises(ValueError, match=message):
        open_tree()
    assert open_tree(size=4).image_shape == (3, 4, 4)


def test_mixed_band_counts(open_tree: Open, tree: Path) -> None:
    write_tif(tree / "c" / "0.tif", np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"c/0.tif is \(8, 8, 2\).*same bands") as error:
        open_tree()
    assert "size=" not in str(error.value)


@pytest.mark.parametrize("keep", [0, 60, 150])
def test_corrupt_image(open_tree: Open, tree: Path, keep: int) -> None:
    whole = tree / "b" / "1.png"
    corrupt = tree / "b" / "0.png"
    corrupt.write_bytes(whole.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"b/0\.png cannot be read .*replace or remove it"):
        open_tree()


@pytest.mark.parametrize("compress", ["none", "deflate"])
@pytest.mark.parametrize("keep", [0, 0.5, 0.9])
def test_truncated_tif(tmp_path: Path, cache: Path, compress: str, keep: float) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60_000, (4, 13, 16, 16), dtype=np.uint16)
    paths = write_tifs(tmp_path / "tree", pixels, compress=compress)
    content = paths[1].read_bytes()
    left = int(keep * len(content))
    paths[1].write_bytes(content[:left])
    with pytest.raises(ValueError, match=r"c1/1\.tif cannot be read .*replace or remove it"):
        SceneFolder(tmp_path / "tree", cache=cache)


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.95])
def test_truncated_jpeg(open_tree: Open, tree: Path, keep: float) -> None:
    path = tree / "b" / "0.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=r"b/0\.jpg cannot be read .*replace or remove it"):
        open_tree()


def test_images_larger_than_memory(tmp_path: Path, cache: Path) -> None:
    for i in range(4):
        path = tmp_path / "tree" / f"c{i % 2}" / f"{i}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        side = 300_000
        shape = {"width": side, "height": side, "count": 4, "dtype": "uint16"}
        tiles = {"tiled": True, "sparse_ok": True, "blockxsize": 4096, "blockysize": 4096}
        with rasterio.open(path, "w", driver="GTiff", BIGTIFF="YES", **shape, **tiles):
            pass  # nothing is written: a few KB
    message = r"0\.tif, 300000 x 300000 pixels, needs 670\.6 GiB of memory, .* are available"
    with pytest.raises(ValueError, match=message):
        SceneFolder(tmp_path / "tree", cache=cache)


@pytest.mark.parametrize(("size", "together"), [(1 << 20, 64), (1 << 24, 4), (1 << 30, 1)])
def test_few_large_files_are_held_at_a_time(
    open_tree: Open, tree: Path, size: int, together: int
) -> None:
    listed = list_tree(tree)
    members = {name: one._replace(size=size) for name, one in listed.members.items()}
    found = replace(listed, members=members)
    shape = Shape(4, 4, (None,) * 3, np.dtype(np.uint8), is_picture=True, unit=None)
    layout = Layout.of_first(listed.names[0], shape, 4)
    parts = list(chunks(found, layout))
    assert parts[0].start == 0
    assert parts[-1].stop == len(listed.names)
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert max(part.stop - part.start for part in parts) == min(together, len(listed.names))
