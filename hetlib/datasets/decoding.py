"""Trees of image files, listed and decoded."""

import io
import re
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hetlib.datasets.statistics import moments
from hetlib.datasets.types import Range
from hetlib.errors import DatasetNotFoundError, require

TIFF = (".tif", ".tiff")

SUFFIXES = (".jpg", ".jpeg", ".png", *TIFF)

# Images decoded before they are written.
CHUNK = 64

# Images decoded at a time.
THREADS = 2

# Bytes of pixels below which TIFFs are decoded one by one: threads that decode very small ones only
# wait for the interpreter's lock.
SMALL_TIFF = 1 << 17

# Looking for side-car files and coordinate systems, and GDAL's block cache, take most of the time
# on small files.
QUICK = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_GEOREF_SOURCES": "NONE",
    "GTIFF_VIRTUAL_MEM_IO": "YES",
}

_ENDINGS = "|".join(map(re.escape, SUFFIXES))

# Matches the whole of a path whose last part is an image's name and does not begin with a dot.
is_image = re.compile(rf"(.*/)?[^./][^/]*({_ENDINGS})", re.IGNORECASE | re.DOTALL).fullmatch


@dataclass(frozen=True)
class Tree:
    """Images below one folder, or in an archive.

    Attributes:
        root: The folder or the archive.
        names: Of the images, from the root, sorted.
        files: Those that hold the images, by a name that is the same on every machine.
        read: Returns the content of an image by its name.
    """

    root: Path
    names: list[str]
    files: dict[str, Path]
    read: Callable[[str], bytes]


class Decoded(NamedTuple):
    """An image.

    Attributes:
        pixels: (height, width, bands), in the file's own type.
        nodata: The value that stands for no data, if there is one.
        descriptions: Names of the bands; None where the file has none.
    """

    pixels: np.ndarray
    nodata: float | None
    descriptions: Sequence[str | None]


def open_tree(root: Path) -> Tree:
    """List the images below a folder or in an archive, which is read without unpacking.

    Args:
        root: The folder, or a zip or tar, also a compressed one.

    Returns:
        The images' names and where they are.

    Raises:
        DatasetNotFoundError: ``root`` is neither a folder nor an archive.
    """
    if root.is_dir():
        return open_folder(root)
    if zipfile.is_zipfile(root):
        return open_zip(root)
    if root.is_file() and tarfile.is_tarfile(root):
        return open_tar(root)
    raise DatasetNotFoundError(
        f"{root} must be the folder above the class folders, or a tar or zip of it."
    )


def open_folder(root: Path) -> Tree:
    """List the images below a folder.

    Args:
        root: The folder.
    """
    paths = [path for path in root.rglob("*") if is_image(path.name)]
    names = sorted(path.relative_to(root).as_posix() for path in paths)
    files = {name: root / name for name in names}
    return Tree(root, names, files, lambda name: files[name].read_bytes())


def open_zip(root: Path) -> Tree:
    """List the images in a zip file, which stays open.

    Args:
        root: The file.
    """
    packed = zipfile.ZipFile(root)
    names = sorted(filter(is_image, packed.namelist()))
    return Tree(root, names, {"": root}, packed.read)


def open_tar(root: Path) -> Tree:
    """List the images in a tar file, which stays open.

    Args:
        root: The file.
    """
    tar = tarfile.open(root)  # noqa: SIM115
    files = [member for member in tar if member.isfile()]
    members = {member.name: member for member in files if is_image(member.name)}

    def read(name: str) -> bytes:
        return tar.extractfile(members[name]).read()  # type: ignore[union-attr]

    return Tree(root, sorted(members), {"": root}, read)


def decode_all(
    path: Path,
    tree: Tree,
    size: int | None,
    valid_range: Range,
) -> tuple[np.ndarray, Decoded]:
    """Decode all images of a tree into one file.

    Args:
        path: The ``.npy`` file to write: (n, height, width, bands), in the files' own type.
        tree: The images.
        size: Height and width that every image is brought to, in pixels; None is its own.
        valid_range: Lowest and highest value that is data, for the moments.

    Returns:
        Moments of the images, (n, 3, bands), and the first image, which all others are like.

    Raises:
        ValueError: An image cannot be read, or differs in size, bands or type from the first.
    """
    rasterio = require("rasterio", "data")
    require("PIL.Image", "data")  # now: what a decoder raises is taken for the image's fault
    names = tree.names
    decode = partial(decode_one, root=tree.root, size=size)

    # Rasterio warns about missing georeference.
    with (
        warnings.catch_warnings(action="ignore"),
        rasterio.Env(**QUICK),
        ThreadPoolExecutor(THREADS) as pool,
    ):
        first = decode(names[0], tree.read(names[0]))
        model = first.pixels
        shape = (len(names), *model.shape)
        images = np.lib.format.open_memmap(path, "w+", model.dtype, shape)
        stats = np.empty((len(names), 3, model.shape[-1]))
        is_small = is_tiff(names[0]) and model.nbytes < SMALL_TIFF
        over = map if is_small else pool.map

        for start in range(0, len(names), CHUNK):
            now = slice(start, start + CHUNK)
            contents = map(tree.read, names[now])
            for i, image in enumerate(over(decode, names[now], contents), start):
                check_alike(tree, i, image.pixels, model)
                images[i] = image.pixels
            stats[now] = moments(images[now], first.nodata, valid_range)
    return stats, first


def is_tiff(name: str) -> bool:
    """Return whether an image is a TIFF, by its name.

    Args:
        name: Of the file.
    """
    return name.lower().endswith(TIFF)


def check_alike(
    tree: Tree,
    i: int,
    pixels: np.ndarray,
    first: np.ndarray,
) -> None:
    """Refuse an image that is not like the first.

    Args:
        tree: All images.
        i: Position of the image.
        pixels: Of the image.
        first: Pixels of the first image.

    Raises:
        ValueError: Size, bands or type differ.
    """
    if (pixels.shape, pixels.dtype) == (first.shape, first.dtype):
        return
    own = f"{pixels.shape} {pixels.dtype}"  # height, width, bands
    wanted = f"{first.shape} {first.dtype}"
    raise ValueError(
        f"{tree.root}: {tree.names[i]} is {own}, but {tree.names[0]} is {wanted}; "
        "use `size=` or remove it."
    )


def decode_one(
    name: str,
    content: bytes,
    *,
    root: Path,
    size: int | None,
) -> Decoded:
    """Decode an image by the format that its name says.

    Args:
        name: Of the image.
        content: Of its file.
        root: Of the tree, for the message.
        size: Height and width that the image is brought to, in pixels; None is its own.

    Returns:
        The image.

    Raises:
        ValueError: It cannot be read.
    """
    decode = decode_tiff if is_tiff(name) else decode_picture
    try:
        return decode(content, size)
    except Exception as error:  # decoders raise anything
        raise ValueError(
            f"{root}: {name} cannot be read ({error}); replace or remove it."
        ) from error


def decode_tiff(content: bytes, size: int | None) -> Decoded:
    """Decode a TIFF with any number of bands.

    Args:
        content: Of the file.
        size: Height and width that it is brought to, in pixels; None is its own.
    """
    rasterio = require("rasterio", "data")
    bilinear = rasterio.enums.Resampling.bilinear
    with rasterio.MemoryFile(content) as memory, memory.open(driver="GTiff") as raster:
        shape = None
        if size is not None:
            shape = (raster.count, size, size)
        pixels = raster.read(out_shape=shape, resampling=bilinear)
        return Decoded(pixels.transpose(1, 2, 0), raster.nodata, raster.descriptions)


def decode_picture(content: bytes, size: int | None) -> Decoded:
    """Decode a JPEG or PNG: one band where it is grey, three of colour otherwise.

    Args:
        content: Of the file.
        size: Height and width that it is brought to, in pixels; None is its own.
    """
    pillow = require("PIL.Image", "data")
    with pillow.open(io.BytesIO(content)) as image:
        plain = image
        if image.mode not in ("L", "RGB"):
            plain = image.convert("RGB")
        if size is not None:
            plain = plain.resize((size, size), pillow.Resampling.BILINEAR)
        pixels = np.asarray(plain)
    height, width = pixels.shape[:2]
    return Decoded(pixels.reshape(height, width, -1), None, (None,))
