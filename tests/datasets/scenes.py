"""Small files for the tests of data sets, and how the fixtures are called."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image
from rasterio.crs import CRS

from hetlib.datasets import SceneFolder

UTM = CRS.from_epsg(32633)
TEN_METRES = rasterio.Affine(10, 0, 0, 0, -10, 0)

# Arguments of a data set.
Options = dict[str, Any]

# Opens a split of the fixture `tree`, with options of SceneFolder.
Open = Callable[..., SceneFolder]


def write_tif(
    path: Path,
    pixels: np.ndarray,
    names: tuple[str, ...] = (),
    *,
    tags: dict[str, str] | None = None,
    transform: rasterio.Affine = TEN_METRES,
    **options: Any,
) -> Path:
    """Write (bands, height, width) with band names; options are rasterio's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, height, width = pixels.shape
    kind = {
        "driver": "GTiff",
        "count": bands,
        "height": height,
        "width": width,
        "dtype": pixels.dtype,
        "crs": UTM,
        "transform": transform,
    }
    with rasterio.open(path, "w", **kind | options) as out:
        out.write(pixels)
        out.update_tags(**tags or {})
        if names:
            out.descriptions = names
    return path


def write_tifs(root: Path, images: np.ndarray, **options: Any) -> list[Path]:
    """Write (n, bands, height, width) in turn into the class folders c0 and c1."""
    paths = []
    for i, pixels in enumerate(images):
        path = root / f"c{i % 2}" / f"{i}.tif"
        paths.append(write_tif(path, pixels, **options))
    return paths


def write_tree(root: Path, classes: tuple[str, ...] = ("a", "b", "c")) -> Path:
    """Write ten RGB images in each class folder, PNG so that pixels stay as they are."""
    rng = np.random.default_rng(0)
    for name in classes:
        folder = root / name
        folder.mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return root
