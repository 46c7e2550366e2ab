"""Trees of image files, listed and decoded."""

import io
import re
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from hetlib.datasets.statistics import moments
from hetlib.datasets.types import Range

TIFF = (".tif", ".tiff")


SUFFIXES = (".jpg", ".jpeg", ".png", *TIFF)


is_image = re.compile(
    rf"(.*/)?[^./][^/]*({'|'.join(map(re.escape, SUFFIXES))})", re.IGNORECASE | re.DOTALL
).fullmatch


CHUNK = 64  # images decoded before they are written


# Looking for side-car files and coordinate systems, and GDAL's block cache, take most of the time
# on small files.
QUICK = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_GEOREF_SOURCES": "NONE",
    "GTIFF_VIRTUAL_MEM_IO": "YES",
}


Read = Callable[[str], bytes]


# array, nodata value, band descriptions
Decoded = tuple[np.ndarray, float | None, Sequence[str | None]]


def open_tree(root: Path) -> tuple[list[str], dict[str, Path], Read]:
    """List the images below ``root``, the files that hold them, and a function that reads one by its name."""
    if root.is_dir():
        names = sorted(
            path.relative_to(root).as_posix() for path in root.rglob("*") if is_image(path.name)
        )
        return names, {name: root / name for name in names}, lambda name: (root / name).read_bytes()
    if zipfile.is_zipfile(root):
        packed = zipfile.ZipFile(root)
        return sorted(filter(is_image, packed.namelist())), {"": root}, packed.read
    if not root.is_file() or not tarfile.is_tarfile(root):
        raise FileNotFoundError(
            f"{root} must be the folder above the class folders, or a tar or zip of it."
        )
    tar = tarfile.open(root)  # noqa: SIM115
    members = {member.name: member for member in tar if member.isfile() and is_image(member.name)}
    return sorted(members), {"": root}, lambda name: tar.extractfile(members[name]).read()  # type: ignore


def decode_all(
    path: Path, root: Path, names: list[str], read: Read, size: int | None, valid_range: Range
) -> Decoded:
    """Decode all images into ``path``; return moments (n, 3, bands), nodata value and band descriptions."""
    import rasterio
    from PIL import Image as pillow  # noqa: N813

    def decode(name: str, content: bytes) -> Decoded:  # pixels (height, width, bands)
        try:
            if name.lower().endswith(TIFF):
                with rasterio.MemoryFile(content) as memory, memory.open(driver="GTiff") as raster:
                    shape = None if size is None else (raster.count, size, size)
                    pixels = raster.read(
                        out_shape=shape, resampling=rasterio.enums.Resampling.bilinear
                    )
                    return pixels.transpose(1, 2, 0), raster.nodata, raster.descriptions
            with pillow.open(io.BytesIO(content)) as image:
                plain = image if image.mode in ("L", "RGB") else image.convert("RGB")
                pixels = np.asarray(
                    plain
                    if size is None
                    else plain.resize((size, size), pillow.Resampling.BILINEAR)
                )
                return pixels.reshape(*pixels.shape[:2], -1), None, (None,)
        except Exception as error:  # decoders raise anything
            raise ValueError(
                f"{root}: {name} cannot be read ({error}); replace or remove it."
            ) from error

    # Rasterio warns about missing georeference.
    with (
        warnings.catch_warnings(action="ignore"),
        rasterio.Env(**QUICK),
        ThreadPoolExecutor(2) as pool,
    ):
        first, nodata, described = decode(names[0], read(names[0]))
        images = np.lib.format.open_memmap(path, "w+", first.dtype, (len(names), *first.shape))
        stats = np.empty((len(names), 3, first.shape[-1]))
        # Threads that decode very small TIFFs only wait for the interpreter's lock.
        over = map if names[0].lower().endswith(TIFF) and first.nbytes < 1 << 17 else pool.map
        for start in range(0, len(names), CHUNK):
            chunk = names[start : start + CHUNK]
            for i, (pixels, *_) in enumerate(over(decode, chunk, map(read, chunk)), start):
                if (pixels.shape, pixels.dtype) != (first.shape, first.dtype):
                    a, b = (f"{x.shape} {x.dtype}" for x in (pixels, first))  # height, width, bands
                    raise ValueError(
                        f"{root}: {names[i]} is {a}, but {names[0]} is {b}; use `size=` or remove it."
                    )
                images[i] = pixels
            stats[start : start + CHUNK] = moments(
                images[start : start + CHUNK], nodata, valid_range
            )
    return stats, nodata, described
