"""One image of a tree: every depth and mode comes out with its values, and with its gaps."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp

from hetlib.datasets import SceneFolder
from hetlib.datasets.pictures import Pixels, opened

from .scenes import write_tif

SHAPE = (6, 5)
RNG = np.random.default_rng(5)
GREY = RNG.integers(1, 255, SHAPE, dtype=np.uint8)
COLOUR = RNG.integers(1, 255, (*SHAPE, 3), dtype=np.uint8)
DEEP = RNG.integers(5_000, 60_000, SHAPE).astype(np.uint16)
ALPHA = np.full(SHAPE, 255, np.uint8)
ALPHA[:2] = 0
EMPTY = ALPHA == 0


def read(
    content: bytes,
    beside: dict[str, bytes] | None = None,
    size: int | None = None,
) -> Pixels:
    with rasterio.Env(), opened(content, beside or {}) as image:
        return image.read(size)


def gaps_of(pixels: Pixels) -> np.ndarray:
    assert pixels.gaps is not None
    return pixels.gaps


def same(one: np.ndarray, other: np.ndarray) -> None:
    np.testing.assert_array_equal(one, other)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def stacked(*bands: np.ndarray) -> np.ndarray:
    return np.dstack(bands)


def test_grey_and_colour_are_as_they_are() -> None:
    pixels = read(encoded(Image.fromarray(GREY)))
    same(pixels.values[..., 0], GREY)
    pixels = read(encoded(Image.fromarray(COLOUR)))
    same(pixels.values, COLOUR)
    assert pixels.gaps is None


def test_sixteen_bits_stay() -> None:
    pixels = read(encoded(Image.fromarray(DEEP)))
    assert pixels.values.dtype == np.uint16
    same(pixels.values[..., 0], DEEP)


@pytest.mark.parametrize("bands", [3, 4])
def test_sixteen_bits_of_colour_stay(tmp_path: Path, bands: int) -> None:
    opaque = ALPHA.astype(np.uint16) * 257
    deep = np.stack([DEEP, DEEP + 1, DEEP + 2, opaque])[:bands]
    path = tmp_path / "deep.png"
    shape = {"count": bands, "height": 6, "width": 5}
    with rasterio.open(path, "w", driver="PNG", dtype="uint16", **shape) as out:
        out.write(deep)
    pixels = read(path.read_bytes())
    same(pixels.values, deep[:3].transpose(1, 2, 0))
    if bands == 4:
        same(gaps_of(pixels)[..., 0], EMPTY)


def test_one_bit_is_grey_of_0_and_255() -> None:
    drawn = GREY > 128
    pixels = read(encoded(Image.fromarray(drawn)))
    same(pixels.values[..., 0], drawn * np.uint8(255))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_of_grey(bits: int) -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (4, 4))
    pixels = read(encoded(Image.fromarray(stripes), bits=bits))
    assert pixels.values.shape == (4, 8, 1)


def test_alpha_is_where_there_is_no_data() -> None:
    for bands in ((GREY, ALPHA), (COLOUR, ALPHA)):
        pixels = read(encoded(Image.fromarray(stacked(*bands))))
        values = bands[0].reshape(6, 5, -1)
        same(pixels.values[2:], values[2:])
        assert gaps_of(pixels).shape == values.shape
        assert gaps_of(pixels)[:2].all()
        assert not gaps_of(pixels)[2:].any()


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("size", [None, 16])
def test_photographs_are_upright(turn: int, kind: str, size: int | None) -> None:
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :16] = 250  # a corner, so that each turn is another image
    turned = np.rot90(upright, {3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}.get(turn, 0))
    if turn in (2, 4):
        turned = turned[:, ::-1]
    if turn in (5, 7):
        turned = turned[::-1]
    exif = Image.Exif()
    exif[0x0112] = turn
    content = encoded(Image.fromarray(np.ascontiguousarray(turned)), kind, exif=exif)
    with opened(content, {}) as image:
        assert (image.shape.height, image.shape.width) == upright.shape
        found = image.read(size).values[..., 0]
    corner = found[: found.shape[0] // 4, : found.shape[1] // 4]
    assert corner.mean() > 200
    assert found.mean() < 100


def test_a_palette_becomes_colour() -> None:
    image = Image.new("P", (5, 6))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    pixels = read(encoded(image))
    assert pixels.values[0, 0].tolist() == [10, 20, 30]
    assert pixels.values[0, 1].tolist() == [40, 50, 60]
    assert pixels.gaps is None

    pixels = read(encoded(image, transparency=0))
    assert not gaps_of(pixels)[0, 1].any()
    assert gaps_of(pixels).sum() == 3 * (30 - 1)


def test_a_transparent_colour() -> None:
    image = Image.fromarray(np.full((4, 4, 3), 9, np.uint8))
    image.putpixel((0, 0), (1, 2, 3))
    pixels = read(encoded(image, transparency=(1, 2, 3)))
    assert np.argwhere(gaps_of(pixels).all(2)).tolist() == [[0, 0]]


def test_cmyk_becomes_colour() -> None:
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    pixels = read(encoded(red, "JPEG", quality=100))
    assert pixels.values.shape == (8, 8, 3)
    np.testing.assert_allclose(pixels.values[4, 4], (255, 0, 0), atol=5)


def test_a_tiff_in_cmyk_becomes_colour(tmp_path: Path) -> None:
    path = tmp_path / "print.tif"
    Image.new("CMYK", (8, 8), (0, 255, 255, 51)).save(path)
    pixels = read(path.read_bytes())
    assert pixels.values[3, 3].tolist() == [204, 0, 0]


def test_a_tiff_with_a_palette_becomes_colour(tmp_path: Path) -> None:
    codes = np.tile(np.array([3, 7], np.uint8), (1, 4, 2))
    path = write_tif(tmp_path / "palette.tif", codes, photometric="palette")
    with rasterio.open(path, "r+") as raster:
        raster.write_colormap(1, {3: (1, 2, 3, 255), 7: (70, 80, 90, 255)})
    pixels = read(path.read_bytes())
    assert pixels.values[0, :2].tolist() == [[1, 2, 3], [70, 80, 90]]
    assert read(path.read_bytes(), size=2).values.shape == (2, 2, 3)


def test_the_first_bytes_say_the_format(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 9_000, (5, 4, 4)).astype(np.uint16)
    named_png = write_tif(tmp_path / "tile.png", pixels)
    found = read(named_png.read_bytes())
    same(found.values, pixels.transpose(1, 2, 0))


@pytest.mark.parametrize("kind", ["BMP", "GIF", "WEBP"])
def test_what_is_found_under_the_names_of_others(tmp_path: Path, kind: str) -> None:
    image = Image.new("RGB", (5, 6), (255, 0, 0))
    for i in range(4):
        path = tmp_path / "tree" / f"c{i % 2}" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, kind, lossless=True)
    dataset = SceneFolder(tmp_path / "tree", cache=tmp_path / "cache", fractions=(1, 0, 0))
    assert dataset[0]["image"][:, 0, 0].tolist() == [255, 0, 0]


def test_alpha_of_a_tiff(tmp_path: Path) -> None:
    bands = stacked(COLOUR, ALPHA).transpose(2, 0, 1)
    path = write_tif(tmp_path / "flight.tif", bands)  # GDAL marks the fourth of 8 bits as alpha
    pixels = read(path.read_bytes())
    assert pixels.values.shape == (6, 5, 3)
    same(gaps_of(pixels)[..., 1], EMPTY)


def test_a_fourth_band_of_values_is_no_alpha(tmp_path: Path) -> None:
    bands = stacked(COLOUR, GREY).transpose(2, 0, 1)
    infrared = write_tif(tmp_path / "infrared.tif", bands)
    with rasterio.open(infrared) as raster:
        assert raster.colorinterp[3] == ColorInterp.alpha
    assert read(infrared.read_bytes()).values.shape == (6, 5, 4)

    bands[3] = ALPHA
    names = ("red", "green", "blue", "cloud")
    named = write_tif(tmp_path / "named.tif", bands, names)
    pixels = read(named.read_bytes())
    assert pixels.values.shape == (6, 5, 4)
    assert pixels.gaps is None


def test_a_mask_inside_a_tiff(tmp_path: Path) -> None:
    path = tmp_path / "masked.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write_tif(path, GREY[None], nodata=None)
        with rasterio.open(path, "r+") as raster:
            raster.write_mask(ALPHA)
    pixels = read(path.read_bytes())
    same(gaps_of(pixels)[..., 0], EMPTY)


def test_a_mask_and_nodata_beside_a_tiff(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "tile.tif", GREY[None])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as raster:
        raster.write_mask(ALPHA)
    mask = (tmp_path / "tile.tif.msk").read_bytes()
    pixels = read(path.read_bytes(), {".msk": mask})
    same(gaps_of(pixels)[..., 0], EMPTY)

    says = b'<PAMDataset><PAMRasterBand band="1"><NoDataValue>%d</NoDataValue></PAMRasterBand>'
    beside = {".aux.xml": says % GREY[3, 3] + b"</PAMDataset>"}
    for content in (path.read_bytes(), encoded(Image.fromarray(GREY))):
        pixels = read(content, beside)
        same(gaps_of(pixels)[..., 0], GREY[3, 3] == GREY)


@pytest.mark.parametrize("nodata", [-9999.9, float("nan"), -3.4028234663852886e38])
def test_nodata_of_float_tiffs(tmp_path: Path, nodata: float) -> None:
    values = RNG.normal(size=(2, 6, 5)).astype(np.float32)
    values[0, :2] = nodata
    values[1, 5] = np.inf
    path = write_tif(tmp_path / "tile.tif", values, nodata=nodata)
    pixels = read(path.read_bytes())
    assert gaps_of(pixels).sum() == 10 + 5
    assert gaps_of(pixels)[:2, :, 0].all()


def test_scale_and_offset(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "tile.tif", np.stack([DEEP, DEEP]), nodata=int(DEEP[0, 0]))
    with rasterio.open(path, "r+") as raster:
        raster.scales = [1e-4, 2.0]
        raster.offsets = [-0.1, 5.0]
    pixels = read(path.read_bytes())
    assert pixels.values.dtype == np.float32
    np.testing.assert_allclose(pixels.values[..., 0], DEEP * 1e-4 - 0.1, rtol=1e-5)
    np.testing.assert_allclose(pixels.values[..., 1], DEEP * 2.0 + 5)
    assert pixels.gaps is not None  # nodata is a number, not a value
    assert gaps_of(pixels)[0, 0].all()


def test_resized_images_keep_their_gaps(tmp_path: Path) -> None:
    colour = np.full((8, 8, 3), 200, np.uint8)
    alpha = np.full((8, 8), 255, np.uint8)
    colour[:4] = 0
    alpha[:4] = 0
    picture = encoded(Image.fromarray(stacked(colour, alpha)))
    numbers = colour.transpose(2, 0, 1).astype(np.int16)
    tile = write_tif(tmp_path / "tile.tif", numbers, nodata=0).read_bytes()
    for content in (picture, tile):
        pixels = read(content, size=4)
        assert gaps_of(pixels)[0].all()
        assert not gaps_of(pixels)[2:].any()
        data = pixels.values[~gaps_of(pixels)]
        assert data.min() >= 199  # nothing of what is no data


def test_complex_pixels(tmp_path: Path) -> None:
    path = write_tif(tmp_path / "radar.tif", np.ones((1, 4, 4), np.complex64))
    with pytest.raises(ValueError, match=r"complex \(complex64\); write amplitude"):
        read(path.read_bytes())
