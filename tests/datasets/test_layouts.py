"""Files of a tree that differ: brought together where that is right, else refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from torch.testing import assert_close

from hetlib.datasets import SceneFolder

from .scenes import Open, write_tif, write_tifs

EVERYTHING = (1, 0, 0)


def opened(root: Path, cache: Path, **options: Any) -> SceneFolder:
    return SceneFolder(root, cache=cache, fractions=EVERYTHING, **options)


@pytest.mark.parametrize("grey", ["a/0.png", "b/5.png", "c/9.png"])  # also the first and the last
def test_grey_among_colour_is_three_equal_bands(open_tree: Open, tree: Path, grey: str) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(pixels).save(tree / grey)
    dataset = open_tree(fractions=EVERYTHING)
    assert dataset.bands == ("red", "green", "blue")
    place = 10 * "abc".index(grey[0]) + int(grey[2])
    image = dataset[place]["image"]
    assert_close(image, torch.from_numpy(pixels).float().expand(3, 8, 8))


def test_the_first_colour_after_many_grey(tmp_path: Path, cache: Path) -> None:
    for i in range(70):  # more than are looked at before the first is decoded
        shape = (4, 4) if i < 69 else (4, 4, 3)
        path = tmp_path / "tree" / f"c{i // 35}" / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full(shape, i, np.uint8)).save(path)
    dataset = opened(tmp_path / "tree", cache)
    assert dataset.bands == ("red", "green", "blue")
    levels = [float(item["image"].mean()) for item in dataset]
    assert sorted(levels) == list(range(70))


def test_alpha_among_others_is_no_band(open_tree: Open, tree: Path) -> None:
    alpha = np.full((8, 8, 4), 255, np.uint8)
    alpha[:4] = 0
    Image.fromarray(alpha).save(tree / "b" / "0.png")
    dataset = open_tree(fractions=EVERYTHING)
    image = dataset[10]["image"]
    assert image.shape == (3, 8, 8)
    assert (image[:, 4:] == 255).all()
    means = torch.from_numpy(dataset.mean).reshape(3, 1, 1)
    assert_close(image[:, :4], means.expand(3, 4, 8))


@pytest.mark.parametrize("size", [None, 4])
def test_other_depths_are_refused_by_name(open_tree: Open, tree: Path, size: int | None) -> None:
    write_tif(tree / "c" / "0.tif", np.zeros((3, 8, 8), np.uint16))
    message = r"c/0\.tif is \(8, 8, 3\) uint16, but a/0\.png is .* uint8.*same type"
    with pytest.raises(ValueError, match=message):
        open_tree(size=size)


def test_nodata_of_each_file(tmp_path: Path, cache: Path) -> None:
    rng = np.random.default_rng(1)
    root = tmp_path / "tree"
    for i, nodata in enumerate((None, -9999.0, 0.0, float("nan"))):
        pixels = rng.uniform(0.2, 0.4, (2, 8, 8)).astype(np.float32)
        if nodata is not None:
            pixels[:, : i + 1] = nodata
        write_tif(root / f"c{i % 2}" / f"{i}.tif", pixels, nodata=nodata)
    dataset = opened(root, cache)
    assert (dataset.mean > 0.25).all()
    assert (dataset.std < 0.1).all()
    for item in dataset:
        assert 0.2 <= item["image"].min() <= item["image"].max() <= 0.4


def test_bands_by_their_names(tmp_path: Path, cache: Path) -> None:
    orders = (("B08", "B04", "B03"), ("B03", "B04", "B08"), ("B04", "B08", "B03"))
    values = {"B03": 300, "B04": 400, "B08": 800}
    root = tmp_path / "tree"
    for i in range(6):
        order = orders[i % 3]
        levels = np.array([values[name] for name in order], np.uint16)
        pixels = np.broadcast_to(levels[:, None, None], (3, 4, 4))
        write_tif(root / f"c{i % 2}" / f"{i}.tif", pixels, order)
    dataset = opened(root, cache)
    assert dataset.bands == orders[0]
    for item in dataset:
        assert item["image"].mean((1, 2)).tolist() == [800, 400, 300]

    write_tif(root / "c0" / "9.tif", np.zeros((3, 4, 4), np.uint16), ("B02", "B03", "B04"))
    with pytest.raises(ValueError, match=r"c0/9\.tif has the bands \['B02', .*, but c0/0\.tif has"):
        opened(root, cache)


SCALED = {
    "offset of one": [((1.0, 0.0), 3000), ((1.0, -1000.0), 4000)],
    "scale and offset": [((1e-4, 0.0), 3000), ((1e-4, -0.1), 4000)],
    "two scales": [((1e-4, 0.0), 3000), ((2e-4, 0.0), 1500)],
}


@pytest.mark.parametrize("pair", SCALED.values(), ids=SCALED)
def test_scale_and_offset_of_each_file(tmp_path: Path, cache: Path, pair: Any) -> None:
    root = tmp_path / "tree"
    for i in range(8):
        (scale, offset), number = pair[i // 4]
        path = root / f"c{i % 2}" / f"{i}.tif"
        write_tif(path, np.full((2, 4, 4), number, np.uint16))
        with rasterio.open(path, "r+") as raster:
            raster.scales = (scale, scale)
            raster.offsets = (offset, offset)
    dataset = opened(root, cache)
    levels = [float(item["image"].mean()) for item in dataset]
    (scale, offset), number = pair[0]
    np.testing.assert_allclose(levels, scale * number + offset, rtol=1e-5)


def test_a_file_without_the_scale_of_the_others(tmp_path: Path, cache: Path) -> None:
    first, second = write_tifs(tmp_path / "tree", np.full((2, 1, 4, 4), 3000, np.uint16))
    with rasterio.open(second, "r+") as raster:
        raster.scales = (1e-4,)
    message = r"c1/1\.tif has the scales \(0\.0001,\), but c0/0\.tif has \(1\.0,\)"
    with pytest.raises(ValueError, match=message):
        opened(tmp_path / "tree", cache)
    with rasterio.open(first, "r+") as raster:
        raster.scales = (1e-4,)
    np.testing.assert_allclose(opened(tmp_path / "tree", cache).mean, 0.3, rtol=1e-5)


def test_what_is_written_beside_an_image_later(tmp_path: Path, cache: Path) -> None:
    pixels = np.full((4, 1, 8, 8), 9, np.int16)
    pixels[:, :, :4] = 0
    paths = write_tifs(tmp_path / "tree", pixels)
    assert opened(tmp_path / "tree", cache).mean == 4.5
    for path in paths:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as raster:
            raster.write_mask(pixels[0, 0] > 0)
        assert path.with_name(f"{path.name}.msk").is_file()
    assert opened(tmp_path / "tree", cache).mean == 9


SAYS = {
    "nodata": ("<NoDataValue>0</NoDataValue>", 9),
    "scale": ("<Scale>0.5</Scale><Offset>1</Offset>", 3.25),
}


@pytest.mark.parametrize(("text", "mean"), SAYS.values(), ids=SAYS)
@pytest.mark.parametrize("ending", ["tif", "png", "pgm"])
def test_side_cars_say_what_values_mean(
    tmp_path: Path, cache: Path, ending: str, text: str, mean: float
) -> None:
    pixels = np.full((8, 8), 9, np.uint8)
    pixels[:4] = 0
    for i in range(4):
        path = tmp_path / "tree" / f"c{i % 2}" / f"{i}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    assert opened(tmp_path / "tree", cache).mean == 4.5
    for path in tmp_path.rglob(f"*.{ending}"):
        band = f'<PAMRasterBand band="1">{text}</PAMRasterBand>'
        Path(f"{path}.aux.xml").write_text(f"<PAMDataset>{band}</PAMDataset>")
    assert opened(tmp_path / "tree", cache).mean == mean


def test_names_of_bands_after_files_without(tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "tree"
    pixels = np.broadcast_to(np.array([1, 2], np.uint16)[:, None, None], (2, 4, 4))
    for i in range(2):
        write_tif(root / f"c{i}" / "0.tif", pixels)
        write_tif(root / f"c{i}" / "1.tif", pixels, ("red", "nir"))
        write_tif(root / f"c{i}" / "2.tif", pixels[::-1], ("nir", "red"))
    dataset = opened(root, cache)
    assert dataset.bands == ("red", "nir")
    for item in dataset:
        assert item["image"].mean((1, 2)).tolist() == [1, 2]


def test_a_band_that_was_taken_for_alpha(tmp_path: Path, cache: Path) -> None:
    rng = np.random.default_rng(0)
    tiles = rng.integers(1, 255, (6, 4, 8, 8), dtype=np.uint8)
    tiles[3, 3] = 0  # near infrared of water
    write_tifs(tmp_path / "tree", tiles)
    with pytest.raises(ValueError, match=r"3\.tif is .*taken for alpha; give the bands names"):
        opened(tmp_path / "tree", cache)
    names = ("red", "green", "blue", "nir")
    write_tifs(tmp_path / "tree", tiles, names=names)
    assert opened(tmp_path / "tree", cache).bands == names
