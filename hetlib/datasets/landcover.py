"""Windows of a GeoTIFF scene around labelled pixels, with splits that share no pixel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hetlib.datasets import cache as store
from hetlib.datasets.images import ImageDataset
from hetlib.datasets.rasters import Scene, read_labels, read_scene
from hetlib.datasets.splits import SPLITS, check_split, zones
from hetlib.datasets.statistics import moments, valid_pixels
from hetlib.datasets.types import Classes, File, Names, Range, Transforms
from hetlib.errors import DatasetNotFoundError

# Height and width of the squares of ``split_by="blocks"``, in windows.
BLOCK = 8


class LandCoverScene(ImageDataset):
    """Windows of any multi-band GeoTIFF, labelled by the class of their centre pixel.

    Windows are drawn at random around labelled pixels that are valid in every band, equally many a
    class where there are enough; the rest of a window may be unlabelled or without data.

    Attributes:
        centres: Row and column of each window's centre, (n, 2).
    """

    def __init__(
        self,
        image: File,
        labels: File,
        split: str = "train",
        *,
        window: int = 16,
        bands: Names = None,
        classes: Classes = None,
        split_by: str = "columns",
        fractions: Sequence[float] = (0.6, 0.1, 0.3),
        per_class: int = 400,
        stride: int = 1,
        shards: bool = False,
        valid_range: Range = None,
        seed: int = 0,
        transforms: Transforms = None,
        cache: File = store.CACHE,
    ):
        """Open one split, and cut the windows where the cache does not hold them.

        Args:
            image: GeoTIFF, its bands named by their descriptions.
            labels: GeoTIFF on the same grid: class numbers, 0 for unlabelled; tags
                ``CLASS_<number>`` name them.
            split: "train", "validation" or "test".
            window: Height and width of the images, in pixels.
            bands: Names of those to use; None is all.
            classes: Names of those to use, or ``{number: name}`` where the file has none; None is
                all.
            split_by: "columns": training left, test right; or "blocks": squares of 8 windows dealt
                by the seed.
            fractions: Of the scene for training, validation and test.
            per_class: Most windows of a class in a split.
            stride: Centres lie on every so many rows and columns; that of ``window`` keeps windows
                from overlapping.
            shards: Every replica always draws from its own strip of the scene, the first one's
                leftmost.
            valid_range: Lowest and highest value that is data, besides the file's nodata value.
            seed: Draws windows and blocks.
            transforms: Applied to each item.
            cache: Folder of what is cut.

        Raises:
            ValueError: An argument is not allowed, the files do not fit each other, or a class has
                no window.
            DatasetNotFoundError: One of the files is not there.
        """
        check_split(split, fractions)
        options = WindowOptions(
            window=window,
            classes=classes,
            split_by=split_by,
            fractions=fractions,
            per_class=per_class,
            stride=stride,
            valid_range=valid_range,
            seed=seed,
        )
        check_files(image, labels)

        folder = Path(cache).resolve()
        files = {"image": Path(image).resolve(), "labels": Path(labels).resolve()}
        content = {
            "checksum": store.checksum(files, folder),
            "valid_range": valid_range,
            "windows": options.identity(),
        }
        entry = store.fetch(folder, content, lambda _: cut_scene(image, labels, options))

        assigned = entry.arrays["splits"]
        super().__init__(entry, assigned, split, bands=bands, transforms=transforms)
        self.centres = np.asarray(entry.arrays["centres"])[self.indices]
        if shards:
            columns = self.centres[:, 1]
            self.shards = np.argsort(columns, kind="stable")


@dataclass(frozen=True, kw_only=True)
class WindowOptions:
    """Which windows of a scene are drawn; see :class:`LandCoverScene` for each."""

    window: int
    classes: Classes
    split_by: str
    fractions: Sequence[float]
    per_class: int
    stride: int
    valid_range: Range
    seed: int

    def __post_init__(self) -> None:
        numbers = (self.window, self.per_class, self.stride)
        if min(numbers) < 1:
            raise ValueError(f"`window`, `per_class`, `stride` must be 1 or more, got {numbers}.")

    def identity(self) -> list[Any]:
        """Tell entries of the cache apart.

        Returns:
            What the windows depend on, besides the source and the range of values.
        """
        classes: Any = self.classes
        if isinstance(self.classes, Mapping):
            classes = list(self.classes.items())
        numbers = (self.window, self.per_class, self.stride)
        return [numbers, classes, self.split_by, list(self.fractions), self.seed]


@dataclass(frozen=True)
class Windows:
    """Windows that were drawn, as they come.

    Attributes:
        flat: Their centres in the scene's flat order, (n,).
        labels: Positions of their classes, (n,).
        splits: Positions in `SPLITS`, (n,).
    """

    flat: np.ndarray
    labels: np.ndarray
    splits: np.ndarray


def check_files(image: File, labels: File) -> None:
    """Refuse paths where there is no file.

    Args:
        image: Path of the scene.
        labels: Path of its labels.

    Raises:
        DatasetNotFoundError: One of them is not there.
    """
    for path in (image, labels):
        if not Path(path).is_file():
            raise DatasetNotFoundError(f"There is no file {path}; give the path of a GeoTIFF.")


def cut_scene(image: File, labels: File, options: WindowOptions) -> store.Content:
    """Draw windows in a scene and cut them out: what a cache entry holds.

    Args:
        image: Path of the scene.
        labels: Path of its labels.
        options: Which windows.

    Returns:
        Names of bands and classes and the nodata value; and the arrays ``images`` (n, window,
        window, bands), ``moments`` (n, 3, bands), ``labels``, ``splits`` (n,) and ``centres``
        (n, 2).

    Raises:
        ValueError: The files do not fit each other, or a class has no window.
    """
    scene = read_scene(image)
    codes, named = read_labels(labels, image, options.classes)
    splits = splits_of_centres(scene, options)
    windows = draw_windows(codes, named, splits, options, labels)

    centres = np.stack(np.unravel_index(windows.flat, codes.shape), axis=1)
    images = cut_windows(scene.pixels, centres, options.window)
    arrays = {
        "images": images,
        "moments": moments(images, scene.nodata, options.valid_range),
        "labels": windows.labels,
        "splits": windows.splits,
        "centres": centres,
    }
    meta = {"bands": scene.bands, "classes": list(named.values()), "nodata": scene.nodata}
    return meta, arrays


def splits_of_centres(scene: Scene, options: WindowOptions) -> np.ndarray:
    """Return the split of windows by their centre; a centre has data in every band.

    Args:
        scene: Its pixels.
        options: Where the splits are, the stride, and the range of values.

    Returns:
        Positions in `SPLITS`, -1 for pixels that may be no centre, (height, width) int8.
    """
    shape = scene.pixels.shape[:2]
    every = slice(None, None, options.stride)
    on_stride = scene.pixels[every, every]
    valid = valid_pixels(on_stride, scene.nodata, options.valid_range)
    usable = np.zeros(shape, bool)
    usable[every, every] = valid.all(2)

    block = BLOCK * options.window
    splits = zones(shape, options.window, options.split_by, options.fractions, block, options.seed)
    splits[~usable] = -1
    return splits


def draw_windows(
    codes: np.ndarray,
    named: Mapping[int, str],
    splits: np.ndarray,
    options: WindowOptions,
    source: File,
) -> Windows:
    """Draw the centres of windows, for each split and class by itself.

    Args:
        codes: Class numbers, (height, width).
        named: The classes to use, by number.
        splits: Positions in `SPLITS`, -1 for none, (height, width).
        options: Shares, most windows of a class, and seed.
        source: Path of the labels, for the message.

    Returns:
        The windows, split by split, class by class, from top left to bottom right.

    Raises:
        ValueError: A class has no window for training or test.
    """
    rng = np.random.default_rng(options.seed)
    drawn = []
    for position, split in enumerate(SPLITS):
        needs_all = split != "validation" and options.fractions[position] > 0
        for label, (number, name) in enumerate(named.items()):
            found = np.flatnonzero((splits == position) & (codes == number))
            if needs_all and not len(found):
                raise ValueError(
                    f"Class {name!r} of {source} has no window for {split}: leave it out with "
                    "`classes=`, or change `split_by`, `fractions`, `seed` or `window`."
                )
            size = min(options.per_class, len(found))
            chosen = np.sort(rng.choice(found, size, replace=False))
            drawn.append(np.stack(np.broadcast_arrays(chosen, label, position)))
    flat, labels, split_of = np.concatenate(drawn, axis=1)
    return Windows(flat, labels, split_of)


def cut_windows(pixels: np.ndarray, centres: np.ndarray, window: int) -> np.ndarray:
    """Cut windows out of a scene.

    Args:
        pixels: The scene, (height, width, bands).
        centres: Row and column of each window's centre, (n, 2).
        window: Height and width of a window.

    Returns:
        (n, window, window, bands).
    """
    shape = (window, window)
    views = np.lib.stride_tricks.sliding_window_view(pixels, shape, axis=(0, 1))
    rows, columns = (centres - window // 2).T
    images = views[rows, columns]  # (n, bands, window, window)
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))
