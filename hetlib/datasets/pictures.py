"""One image of a tree, decoded: by Pillow, or by rasterio where Pillow would lose values.

- JPEG and PNG of 8 bits: grey is one band, colour three. A palette, CMYK, YCbCr and HSV become
  colour; 1 bit becomes grey of 0 and 255.
- Photographs are upright, as the camera says in EXIF that it was held.
- An alpha channel, and a colour that is marked as transparent, say where there is no data.
- PNG of 16 bits keeps its values, also in colour.
- TIFF: every band as it is, see :mod:`hetlib.datasets.bands`. A TIFF of one band with a palette
  becomes colour, and CMYK of 8 bits too.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np

from hetlib.datasets.bands import Bands, bands_of, read_values
from hetlib.datasets.trees import JPEG_2000, PNM, TIFF_BEGINNINGS
from hetlib.errors import require

PNG = b"\x89PNG"

# Where a PNG says the bits of a value, and what it says of those that Pillow cuts to 8 in colour.
PNG_BITS = 24
DEEP = bytes([16])

# Modes of Pillow that are grey.
GREY = ("1", "L", "LA", "La")

# Bands of a raster that may be a picture: four inks and alpha.
MOST_COLOURS = 5

# Marks of a side-car that says what values mean, which Pillow does not read.
SAYS_MORE = (b"<NoDataValue", b"<Scale", b"<Offset", b"<Description")

# What Pillow calls the tag that says how an image is turned, and the turns that change sides.
TURN = 0x0112
SIDEWAYS = (5, 6, 7, 8)

# GDAL looks for side-cars, and takes georeference from there alone: without any such source it
# leaves out the side-car's other content, too.
WITH_SIDE_CARS = {"GDAL_DISABLE_READDIR_ON_OPEN": "FALSE", "GDAL_GEOREF_SOURCES": "PAM"}

# What Pillow may take an image for.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")

# What GDAL may take an image for: no other format hides behind its name.
DRIVERS: Sequence[str] = (
    *("GTiff", "PNG", "JPEG", "JP2OpenJPEG"),
    *("PNM", "BMP", "GIF", "WEBP"),
)


class Shape(NamedTuple):
    """What the header of an image says, before its pixels are decoded.

    Attributes:
        height: In pixels.
        width: In pixels.
        bands: Names of the bands; None where they have none.
        dtype: Of the values.
        is_picture: Whether its bands are grey or colour, not any.
        unit: Scales of the bands where its numbers are whole; None where they are not.
        has_guessed_alpha: Whether a further band was taken for alpha by its values.
    """

    height: int
    width: int
    bands: tuple[str | None, ...]
    dtype: np.dtype
    is_picture: bool
    unit: tuple[float, ...] | None
    has_guessed_alpha: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels."""
        return self.height * self.width * len(self.bands) * self.dtype.itemsize


class Pixels(NamedTuple):
    """A decoded image.

    Attributes:
        values: (height, width, bands).
        gaps: True where there is no data, of the same shape; None where all are data.
    """

    values: np.ndarray
    gaps: np.ndarray | None


class Picture:
    """A JPEG or PNG of 8 bits, opened."""

    def __init__(self, image: Any):
        """Read the header.

        Args:
            image: Opened by Pillow.
        """
        self.image = image
        self.is_grey = image.mode in GREY
        self.has_alpha = image.has_transparency_data
        width, height = image.size
        self.turn = turn_of(image)
        if self.turn in SIDEWAYS:
            width, height = height, width
        bands = (None,) if self.is_grey else (None,) * 3
        self.shape = Shape(height, width, bands, np.dtype(np.uint8), True, None)

    def read(self, size: int | None) -> Pixels:
        """Decode the pixels.

        Args:
            size: Height and width that they are brought to; None is their own.
        """
        pillow = require("PIL.Image", "data")
        image = self.image
        if self.turn != 1:
            image = require("PIL.ImageOps", "data").exif_transpose(image)
        mode = self._mode()
        if image.mode != mode:
            image = image.convert(mode)
        if size is not None:
            image = image.resize((size, size), pillow.Resampling.BILINEAR)
        pixels = np.asarray(image).reshape(image.height, image.width, -1)
        count = len(self.shape.bands)
        if not self.has_alpha:
            return Pixels(pixels, None)
        empty = pixels[..., -1:] == 0
        return Pixels(pixels[..., :count], np.repeat(empty, count, axis=2))

    def _mode(self) -> str:
        """Return Pillow's name of what is decoded."""
        if self.is_grey:
            return "LA" if self.has_alpha else "L"
        return "RGBA" if self.has_alpha else "RGB"


def turn_of(image: Any) -> int:
    """Return how a camera was held: 1 for upright, as EXIF has it.

    Args:
        image: Opened by Pillow.
    """
    if "exif" not in image.info:
        return 1
    return image.getexif().get(TURN, 1)


class Tile:
    """A raster, opened."""

    def __init__(self, raster: Any):
        """Read the header.

        Args:
            raster: Opened by rasterio.

        Raises:
            ValueError: Its pixels are complex, or it has no band of values.
        """
        self.raster = raster
        self.bands = bands_of(raster)
        self.meaning = meaning_of(raster)
        names = self.bands.names
        is_picture = self.meaning != "bands" and not any(names)
        if self.meaning in ("palette", "cmyk"):
            names = (None,) * 3
        self.shape = Shape(
            raster.height,
            raster.width,
            names,
            self.bands.type_of_values,
            is_picture,
            unit_of(self.bands),
            self.bands.alpha is not None and self.meaning == "colour",
        )

    def read(self, size: int | None) -> Pixels:
        """Decode the pixels.

        Args:
            size: Height and width that they are brought to; None is their own.
        """
        if self.meaning == "palette":
            return self._through_palette(size)
        shape = None if size is None else (size, size)
        values, gaps = read_values(self.raster, self.bands, shape=shape)
        if self.meaning == "cmyk":
            inks = values.astype(np.uint16)
            light = 255 - inks
            values = (light[..., :3] * light[..., 3:] / 255).astype(np.uint8)
            gaps = None if gaps is None else gaps[..., :3]
        return Pixels(values, gaps)

    def _through_palette(self, size: int | None) -> Pixels:
        """Decode pixels that are positions in a palette; a neighbour stands for those between."""
        indices = self.raster.read(1)
        gaps = np.repeat(self.raster.read_masks(1)[..., None] == 0, 3, axis=2)
        colours = np.zeros((int(np.iinfo(indices.dtype).max) + 1, 4), np.uint8)
        for index, colour in self.raster.colormap(1).items():
            colours[index] = colour
        found = colours[indices]
        gaps |= found[..., 3:] == 0
        values = found[..., :3]
        if size is not None:
            rows = (np.arange(size) * self.shape.height) // size
            columns = (np.arange(size) * self.shape.width) // size
            values = values[np.ix_(rows, columns)]
            gaps = gaps[np.ix_(rows, columns)]
        return Pixels(values, gaps if gaps.any() else None)


def meaning_of(raster: Any) -> str:
    """Return what a raster's bands are: grey, colour, palette, cmyk, or any other bands.

    Args:
        raster: Opened by rasterio.
    """
    if raster.count > MOST_COLOURS:
        return "bands"
    names = [meaning.name for meaning in raster.colorinterp]
    eight_bits = set(raster.dtypes) == {"uint8"}
    if names == ["palette"] and eight_bits:
        return "palette"
    if names[:4] == ["cyan", "magenta", "yellow", "black"] and eight_bits:
        return "cmyk"
    if names[:3] == ["red", "green", "blue"] and len(names) <= 4:
        return "colour"
    if names in (["gray"], ["gray", "alpha"]):
        return "grey"
    return "bands"


def unit_of(bands: Bands) -> tuple[float, ...] | None:
    """Return the scales of whole numbers, whose unit they are; None for others.

    Args:
        bands: What a file says of its bands.
    """
    if bands.dtype.kind == "f":
        return None
    return bands.scales


@contextmanager
def opened(content: bytes, beside: Mapping[str, bytes]) -> Iterator[Picture | Tile]:
    """Open an image; its header is read, its pixels are not.

    Args:
        content: Of its file; how it begins says the format, whatever its name.
        beside: Content of what lies beside it, by the ending.
    """
    with ExitStack() as stack:
        if says_more(beside) or not is_flat(content):
            yield Tile(open_raster(stack, content, beside))
        else:
            pillow = require("PIL.Image", "data")
            image = pillow.open(io.BytesIO(content), formats=FORMATS)
            yield Picture(stack.enter_context(image))


def says_more(beside: Mapping[str, bytes]) -> bool:
    """Return whether what lies beside an image says what its values mean.

    Args:
        beside: Content, by the ending.
    """
    side_car = beside.get(".aux.xml", b"")
    return ".msk" in beside or any(mark in side_car for mark in SAYS_MORE)


def is_flat(content: bytes) -> bool:
    """Return whether an image is one of 8 bits that Pillow reads as it is.

    Args:
        content: Of its file.
    """
    if content.startswith(PNG):
        return content[PNG_BITS : PNG_BITS + 1] != DEEP
    return not content.startswith((*TIFF_BEGINNINGS, *JPEG_2000, *PNM))


def open_raster(stack: ExitStack, content: bytes, beside: Mapping[str, bytes]) -> Any:
    """Open a raster from memory, with what lies beside it.

    Args:
        stack: Closes it.
        content: Of its file.
        beside: Content of what lies beside it, by the ending.
    """
    rasterio = require("rasterio", "data")
    if not beside:
        memory = stack.enter_context(rasterio.MemoryFile(content))
        return stack.enter_context(memory.open(driver=DRIVERS))
    memory = stack.enter_context(rasterio.MemoryFile(content, filename="image"))
    folder = memory.name.removesuffix("/image").removeprefix("/vsimem/")
    for ending, text in beside.items():
        part = rasterio.MemoryFile(text, dirname=folder, filename=f"image{ending}")
        stack.enter_context(part)
    stack.enter_context(rasterio.Env(**WITH_SIDE_CARS))
    return stack.enter_context(memory.open(driver=DRIVERS))
