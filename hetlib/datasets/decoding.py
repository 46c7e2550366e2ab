"""All images of a tree, decoded into one array.

They must be alike. What may differ from file to file is brought together:

- bands that the files name, in another order: that of the first image counts;
- grey among colour: three equal bands, as ImageFolder's loader makes of it;
- an alpha channel, masks and nodata values: each file says where it has data;
- scale and offset: values are ``scale * number + offset`` of each file, as float32.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hetlib.datasets.arguments import range_of_values
from hetlib.datasets.filenames import TIFF
from hetlib.datasets.layouts import Layout, UnlikeError, WiderError
from hetlib.datasets.memory import check_memory
from hetlib.datasets.pictures import Picture, Pixels, Tile, opened
from hetlib.datasets.statistics import moments, out_of_range
from hetlib.datasets.storage import Gaps, reserve
from hetlib.datasets.trees import SUSPICIOUS, Tree
from hetlib.datasets.types import Range
from hetlib.errors import require
from hetlib.inputs import keep, optional, whole

# Images, and bytes of them, that are decoded before they are written.
CHUNK = 64
CHUNK_BYTES = 1 << 26

# Images decoded at a time.
THREADS = 2

# Bytes of pixels below which TIFFs are decoded one by one: threads that decode very small ones only
# wait for the interpreter's lock.
SMALL_TIFF = 1 << 17

# Looking for side-car files and coordinate systems, and GDAL's block cache, take most of the time
# on small files. What lies beside an image is handed to GDAL with it.
QUICK = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_GEOREF_SOURCES": "NONE",
    "GTIFF_VIRTUAL_MEM_IO": "YES",
}


@dataclass(frozen=True)
class DecodingOptions:
    """How images are decoded.

    Attributes:
        size: Height and width that every image is brought to, in pixels; None is its own.
        valid_range: Lowest and highest value that is data; None is no limit.
    """

    size: int | None = None
    valid_range: Range = None

    def __post_init__(self) -> None:
        keep(
            self,
            size=optional(whole, "size", self.size, low=1),
            valid_range=range_of_values(self.valid_range),
        )


class Decoded(NamedTuple):
    """What is known about all images of a tree once they are decoded.

    Attributes:
        moments: Of each image, (n, 3, bands).
        bands: Names of the bands; None where the files have none.
    """

    moments: np.ndarray
    bands: tuple[str | None, ...]


class Source(NamedTuple):
    """An image that is not decoded yet.

    Attributes:
        name: Of the image.
        content: Of its file.
        beside: Content of what lies beside it, by the ending.
    """

    name: str
    content: bytes
    beside: Mapping[str, bytes]


def decode_all(folder: Path, tree: Tree, options: DecodingOptions) -> Decoded:
    """Decode all images of a tree into ``images.npy``, and where data are missing ``gaps.npy``.

    Args:
        folder: Where the two come to lie: (n, height, width, bands), values as they are in the
            files, and True where there is none.
        tree: The images.
        options: Their size, and which values are data.

    Returns:
        Moments and names of bands.

    Raises:
        ValueError: An image cannot be read, or is not like the first.
    """
    rasterio = require("rasterio", "data")
    require("PIL.Image", "data")  # now: what a decoder raises is taken for the image's fault

    # Rasterio warns about missing georeference.
    with (
        warnings.catch_warnings(action="ignore"),
        rasterio.Env(**QUICK),
        ThreadPoolExecutor(THREADS) as pool,
    ):
        layout = first_layout(tree, options.size)
        while True:  # a layout only grows: grey to colour, whole numbers to values with an offset
            try:
                return write_all(folder, tree, layout, options, pool)
            except WiderError as found:
                layout = found.layout


def first_layout(tree: Tree, size: int | None) -> Layout:
    """Return the layout that the first images ask for, by their headers alone.

    Args:
        tree: The images.
        size: Height and width that every image is brought to; None is its own.

    Raises:
        ValueError: An image's header cannot be read, or it is not like the first.
    """
    layout: Layout | None = None
    for source in sources(tree, tree.names[:CHUNK]):
        try:
            with opened(source.content, source.beside) as image:
                shape = image.shape
        except Exception as error:  # decoders raise anything
            raise tree.unreadable(source.name, reason(error)) from error
        if layout is None:
            layout = Layout.of_first(source.name, shape, size)
        try:
            layout = layout.with_image(source.name, shape)
        except UnlikeError as error:
            raise ValueError(f"{tree.root}: {error}") from error
    assert layout is not None
    check_images(tree, layout)
    return layout


def check_images(tree: Tree, layout: Layout) -> None:
    """Refuse images that do not fit into memory one by one.

    Args:
        tree: The images.
        layout: What they are brought to.

    Raises:
        ValueError: One does not fit.
    """
    if layout.nbytes > SUSPICIOUS:
        what = f"{tree.root}: {layout.first}, {layout.height} x {layout.width} pixels,"
        check_memory(what, layout.nbytes, "cut it into smaller images, or use `LandCoverScene`")


def sources(tree: Tree, names: Iterable[str]) -> Iterator[Source]:
    """Yield the content of images, read one by one: an archive is one file.

    Args:
        tree: All images.
        names: Of those wanted.
    """
    for name in names:
        yield Source(name, tree.read(name), tree.beside(name))


def reason(error: Exception) -> str:
    """Return what a decoder says, or what lies behind it: rasterio only points there.

    Args:
        error: What it raised.
    """
    return str(error.__cause__ or error) or type(error).__name__


def write_all(
    folder: Path,
    tree: Tree,
    layout: Layout,
    options: DecodingOptions,
    pool: ThreadPoolExecutor,
) -> Decoded:
    """Decode all images into files.

    Args:
        folder: Of the files.
        tree: The images.
        layout: What they are brought to.
        options: Their size, and which values are data.
        pool: Decodes them.

    Returns:
        Moments and names of bands.

    Raises:
        ValueError: An image cannot be read, or is not like the first.
        WiderError: An image asks for another layout.
    """
    names = tree.names
    shape = (len(names), *layout.shape)
    images = reserve(folder / "images.npy", layout.dtype, shape)
    gaps = Gaps(folder / "gaps.npy", shape)
    stats = np.empty((len(names), 3, shape[-1]))

    decode = partial(decode_one, tree=tree, layout=layout, size=options.size)
    is_small = names[0].lower().endswith(TIFF) and layout.nbytes < SMALL_TIFF
    over: Callable[..., Iterable[Pixels]] = map if is_small else pool.map
    for now in chunks(tree, layout):
        start = now.start
        chosen = names[now]
        for i, pixels in enumerate(over(decode, sources(tree, chosen)), start):
            images[i] = pixels.values
            gaps.put(i, pixels.gaps)
            if options.valid_range is not None:
                gaps.put(i, out_of_range(pixels.values, options.valid_range))
        stats[now] = moments(images[now], gaps.of(now))
    gaps.close()
    return Decoded(stats, layout.bands)


def chunks(tree: Tree, layout: Layout) -> Iterator[slice]:
    """Yield the positions of images whose files, and whose pixels, fit into memory together.

    Args:
        tree: The images.
        layout: What they are brought to.
    """
    most = max(1, min(CHUNK, CHUNK_BYTES // max(layout.nbytes, 1)))
    start = 0
    held = 0
    for i, name in enumerate(tree.names):
        size = tree.members[name].size
        if i > start and (i - start == most or held + size > CHUNK_BYTES):
            yield slice(start, i)
            start = i
            held = 0
        held += size
    yield slice(start, len(tree.names))


def decode_one(source: Source, *, tree: Tree, layout: Layout, size: int | None) -> Pixels:
    """Decode an image, once its header says that it is like the others.

    Args:
        source: The image.
        tree: All images, for the message.
        layout: What it is brought to.
        size: Height and width that it is brought to, in pixels; None is its own.

    Returns:
        Its pixels.

    Raises:
        ValueError: It cannot be read, or is not like the first.
        WiderError: It asks for another layout.
    """
    try:
        with opened(source.content, source.beside) as image:
            return layout.fit(image.shape, read_alike(source.name, image, layout, size))
    except WiderError:
        raise
    except UnlikeError as error:
        raise ValueError(f"{tree.root}: {error}") from error
    except Exception as error:  # decoders raise anything
        raise tree.unreadable(source.name, reason(error)) from error


def read_alike(name: str, image: Picture | Tile, layout: Layout, size: int | None) -> Pixels:
    """Decode the pixels of an image whose header says that it is like the others.

    Args:
        name: Of the image.
        image: Opened.
        layout: What it is brought to.
        size: Height and width that it is brought to, in pixels; None is its own.

    Raises:
        UnlikeError: It is not like the first.
        WiderError: It asks for another layout.
        ValueError: It does not fit into memory.
    """
    wider = layout.with_image(name, image.shape)
    if wider != layout:
        raise WiderError(wider)
    needed = image.shape.nbytes
    if needed > SUSPICIOUS:
        check_memory(f"{image.shape.height} x {image.shape.width} pixels", needed, "cut it")
    return image.read(size)
