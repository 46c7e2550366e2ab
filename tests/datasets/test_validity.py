"""Where a scene has data: as its own file says, whatever way it says it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from rasterio.enums import ColorInterp

from hetlib.datasets import LandCoverScene
from hetlib.datasets.rasters import read_scene

from .scenes import Options, write_tif

HEIGHT = 60
WIDTH = 120
RNG = np.random.default_rng(3)
STRIP = slice(20, 30)  # columns without data


def levels(kind: str, bands: int = 2) -> np.ndarray:
    """Values from 100 to 200, and 0 where there is no data."""
    pixels = RNG.integers(100, 200, (bands, HEIGHT, WIDTH)).astype(kind)
    pixels[:, :, STRIP] = 0
    return pixels


def opened(scene: Options, pixels: np.ndarray, **options: Any) -> LandCoverScene:
    write_tif(scene["image"], pixels, **options)
    return LandCoverScene(**scene)


def check(dataset: LandCoverScene) -> None:
    """No centre lies in the strip, no statistic knows it, and it is filled with the mean."""
    columns = dataset.centres[:, 1]
    assert not ((columns >= STRIP.start) & (columns < STRIP.stop)).any()
    assert (dataset.mean > 140).all()
    assert (dataset.mean < 160).all()
    assert (dataset.std < 40).all()
    images, _ = dataset.gather(range(len(dataset)), standardise=False)
    assert images.min() >= 100
    assert images.max() < 200


NODATA = (
    ("uint8", 0),
    ("uint16", 65535),
    ("int16", -1),
    ("float32", -9999.9),
    ("float64", float("nan")),
    ("float32", float("inf")),
)


@pytest.mark.parametrize(("kind", "nodata"), NODATA)
def test_nodata_of_any_kind(scene: Options, kind: str, nodata: float) -> None:
    pixels = levels(kind)
    pixels[:, :, STRIP] = nodata
    check(opened(scene, pixels, nodata=nodata))


def test_nan_needs_no_nodata_value(scene: Options) -> None:
    pixels = levels("float32")
    pixels[0, :, STRIP] = np.nan
    pixels[1, :, STRIP] = -np.inf
    check(opened(scene, pixels))


@pytest.mark.parametrize("bands", [1, 3])
def test_alpha(scene: Options, bands: int) -> None:
    pixels = levels("uint8", bands + 1)
    pixels[-1] = 255
    pixels[-1, :, STRIP] = 0
    write_tif(scene["image"], pixels)
    with rasterio.open(scene["image"], "r+") as raster:
        raster.colorinterp = [*raster.colorinterp[:-1], ColorInterp.alpha]
    dataset = LandCoverScene(**scene)
    assert len(dataset.bands) == bands
    check(dataset)


@pytest.mark.parametrize(
    ("kind", "opaque"),
    [("uint16", 65535), ("uint16", 255), ("uint16", 1), ("float32", 1), ("float32", 255)],
)
def test_alpha_of_more_bits(scene: Options, kind: str, opaque: int) -> None:
    pixels = levels(kind, 4)
    pixels[-1] = opaque
    pixels[-1, :, STRIP] = 0
    write_tif(scene["image"], pixels)
    with rasterio.open(scene["image"], "r+") as raster:
        raster.colorinterp = [*raster.colorinterp[:-1], ColorInterp.alpha]
    dataset = LandCoverScene(**scene)
    assert len(dataset.bands) == 3
    check(dataset)


def test_alpha_beside_nodata(scene: Options) -> None:
    pixels = levels("uint8", 4)
    pixels[3] = 255
    pixels[3, :, 20:25] = 0
    pixels[:3, :, 20:25] = 150  # valid, but for alpha
    check(opened(scene, pixels, nodata=0))


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("nodata", [None, 0])
def test_masks(scene: Options, inside: bool, nodata: int | None) -> None:
    pixels = levels("uint8")
    if nodata is not None:
        pixels[:, :, 25:30] = 50  # the mask alone says that these are none
    mask = np.ones((HEIGHT, WIDTH), bool)
    mask[:, 25:30] = False
    if nodata is None:
        mask[:, STRIP] = False
    opened(scene, pixels, nodata=nodata)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside),
        rasterio.open(scene["image"], "r+") as raster,
    ):
        raster.write_mask(mask)
    check(LandCoverScene(**scene))  # noticed in the cache, too


def virtual(folder: Path, kinds: tuple[str, ...], nodata: tuple[float | None, ...]) -> Path:
    """Write a VRT of single-band files, with a nodata value for each band."""
    bands = []
    for number, (kind, value) in enumerate(zip(kinds, nodata, strict=True), 1):
        pixels = levels(NUMPY[kind], 1)
        pixels[:, :, STRIP] = 0 if value is None else value
        write_tif(folder / f"{number}.tif", pixels)
        said = "" if value is None else f"<NoDataValue>{value}</NoDataValue>"
        bands.append(
            f'<VRTRasterBand dataType="{kind}" band="{number}">{said}'
            f'<SimpleSource><SourceFilename relativeToVRT="1">{number}.tif</SourceFilename>'
            "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        )
    head = (
        f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}"><SRS>EPSG:32633</SRS>'
        "<GeoTransform>0,10,0,0,0,-10</GeoTransform>"
    )
    path = folder / "stack.vrt"
    path.write_text(head + "".join(bands) + "</VRTDataset>")
    return path


STACKS = (
    (("UInt16", "UInt16"), (0, 65535)),
    (("UInt16", "UInt16"), (65535, 0)),
    (("Byte", "Float32"), (0, -9999.0)),
    (("Int16", "UInt16", "Byte"), (-1, 65535, 0)),
)
NUMPY = {"UInt16": "uint16", "Byte": "uint8", "Float32": "float32", "Int16": "int16"}


@pytest.mark.parametrize(("kinds", "nodata"), STACKS)
def test_nodata_of_each_band(scene: Options, tmp_path: Path, kinds: Any, nodata: Any) -> None:
    check(LandCoverScene(**scene | {"image": virtual(tmp_path, kinds, nodata)}))


def test_a_changed_source_of_a_virtual_raster(scene: Options, tmp_path: Path) -> None:
    options = scene | {"image": virtual(tmp_path, ("UInt16",), (None,))}
    before = LandCoverScene(**options)
    with rasterio.open(tmp_path / "1.tif", "r+") as raster:
        raster.write(raster.read() + 1)
    after = LandCoverScene(**options)
    assert after.mean == before.mean + 1


SIDE_CAR = "<PAMDataset>{}</PAMDataset>"
SAYS = '<PAMRasterBand band="{}"><NoDataValue>0</NoDataValue></PAMRasterBand>'


def test_nodata_written_beside_the_scene_later(scene: Options) -> None:
    before = opened(scene, levels("uint16"))
    assert before.mean.min() < 145
    text = SIDE_CAR.format(SAYS.format(1) + SAYS.format(2))
    Path(f"{scene['image']}.aux.xml").write_text(text)
    after = LandCoverScene(**scene)
    assert after.checksum != before.checksum
    check(after)


def test_nodata_written_beside_a_link_later(scene: Options, tmp_path: Path) -> None:
    opened(scene, levels("uint16"))
    storage = tmp_path / "storage"
    storage.mkdir()
    stored = Path(scene["image"]).rename(storage / "stored.tif")
    Path(scene["image"]).symlink_to(stored)
    assert LandCoverScene(**scene).mean.min() < 145
    text = SIDE_CAR.format(SAYS.format(1) + SAYS.format(2))
    Path(f"{scene['image']}.aux.xml").write_text(text)
    check(LandCoverScene(**scene))


def test_nodata_written_beside_the_labels_later(scene: Options) -> None:
    assert "wood" in LandCoverScene(**scene).classes
    text = SIDE_CAR.format(SAYS.format(1).replace(">0<", ">2<"))
    Path(f"{scene['labels']}.aux.xml").write_text(text)
    assert LandCoverScene(**scene).classes == ("water", "field")


def test_scale_and_offset_of_a_scene(scene: Options) -> None:
    plain = opened(scene, levels("uint16"), nodata=0)
    with rasterio.open(scene["image"], "r+") as raster:
        raster.scales = (1e-4, 1e-4)
        raster.offsets = (0.0, -0.1)
    scaled = LandCoverScene(**scene)
    np.testing.assert_allclose(scaled.mean, plain.mean * 1e-4 - (0, 0.1), rtol=1e-4)
    one, _ = plain.gather(range(20))
    other, _ = scaled.gather(range(20))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_a_range_in_the_unit_of_the_values(scene: Options) -> None:
    opened(scene, levels("uint16"))
    with rasterio.open(scene["image"], "r+") as raster:
        raster.scales = (0.1, 0.1)
    dataset = LandCoverScene(**scene, valid_range=(10, 20))
    assert (dataset.mean > 14).all()


def test_the_whole_scene_is_read_with_its_gaps(scene: Options) -> None:
    pixels = levels("uint8", 4)
    pixels[3] = 255
    pixels[3, :, STRIP] = 0
    whole = read_scene(write_tif(scene["image"], pixels, tags={}))
    assert whole.bands == ("1", "2", "3")
    np.testing.assert_array_equal(whole.pixels, pixels[:3].transpose(1, 2, 0))
    valid = whole.valid()
    assert not valid[:, STRIP].any()
    assert valid.sum() == 3 * HEIGHT * (WIDTH - 10)
    assert whole.valid((100, 149)).sum() < valid.sum()


def test_equal_names_are_told_apart(scene: Options) -> None:
    dataset = opened(scene, levels("uint8", 3), names=("B04", "B04", ""))
    assert dataset.bands == ("B04 (1)", "B04 (2)", "3")


@pytest.mark.parametrize("empty", [0, slice(None)])  # one band, and all of them
def test_a_scene_without_data(scene: Options, empty: Any) -> None:
    pixels = levels("uint16")
    pixels[empty] = 0
    with pytest.raises(ValueError, match=r"image\.tif has no pixel that is data in every band"):
        opened(scene, pixels, nodata=0)


def test_complex_scenes(scene: Options) -> None:
    with pytest.raises(ValueError, match=r"image\.tif: its pixels are complex \(complex64\)"):
        opened(scene, levels("complex64"))


@pytest.mark.parametrize("role", ["image", "labels"])
@pytest.mark.parametrize("keep", [0.3, 0.8])
def test_truncated_scenes(scene: Options, role: str, keep: float) -> None:
    path = Path(scene[role])
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=rf"{role}\.tif cannot be read \(.+\); replace it"):
        LandCoverScene(**scene)


def test_no_rasters(scene: Options) -> None:
    for role in ("image", "labels"):
        text = Path(scene["cache"]).with_name("text.tif")
        text.write_text("no raster")
        with pytest.raises(ValueError, match=r"text\.tif cannot be read"):
            LandCoverScene(**scene | {role: text})
