"""Windows of a GeoTIFF scene whose labels are polygons: fields that were visited, digitised areas.

The polygons are drawn on the scene's grid, and from there on everything is a `LandCoverScene`. Each
polygon comes into one split with its surroundings, so none is cut, and windows of two splits share
no pixel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import numpy as np

from hetlib.datasets import cache as store
from hetlib.datasets.labels import TAG
from hetlib.datasets.landcover import LandCoverScene, source_files
from hetlib.datasets.rasterising import (
    classes_in_use,
    codes_of_pixels,
    grouped,
    numbers_of_pixels,
    write_band,
)
from hetlib.datasets.regions import stratified_splits
from hetlib.datasets.splits import SPLITS, check_split
from hetlib.datasets.types import File, Names, Range, Shards, Transforms
from hetlib.datasets.vectors import read_polygons
from hetlib.datasets.window_options import STRATIFIED
from hetlib.errors import DatasetNotFoundError
from hetlib.inputs import whole

# Sides of the squares, in windows, whose polygons are tried as one region. Polygons by themselves
# (0) give most choice; where they lie close together, neighbours in two splits take each other's
# windows, and larger regions keep more.
GROUPS = (0, 4, 8)


class PolygonScene(LandCoverScene):
    """Windows of any multi-band GeoTIFF around pixels within polygons that have a class.

    Attributes:
        centres: Row and column of each window's centre, (n, 2).
        polygons: Number of the polygon around each centre, in the file's order from 0, (n,).
    """

    def __init__(
        self,
        image: File,
        polygons: File,
        split: str = "train",
        *,
        field: str = "class",
        classes: Names = None,
        window: int = 16,
        block: int | None = None,
        fractions: Sequence[float] = (0.6, 0.1, 0.3),
        stride: int = 1,
        seed: int = 0,
        bands: Names = None,
        per_class: int = 400,
        shards: Shards = False,
        valid_range: Range = None,
        transforms: Transforms = None,
        cache: File = store.CACHE,
    ):
        """Open one split, and draw the polygons where the cache does not hold them.

        Args:
            image: GeoTIFF with a coordinate system.
            polygons: GeoJSON, or GeoPackage with one layer, in any coordinate system; a later
                polygon is drawn over an earlier one.
            split: "train", "validation" or "test".
            field: Name of the polygons' property that is the class.
            classes: Those to use; None is all. Other polygons are left out.
            window: Height and width of the images, in pixels.
            block: Polygons whose middles are in one square of so many pixels come into one split;
                None is each by itself, or where they lie so close that this would lose windows,
                squares of 4 or 8 windows.
            fractions: Of the polygons for training, validation and test.
            stride: Centres lie on every so many rows and columns.
            seed: Deals the polygons, and draws the windows.
            bands: Names of those to use; None is all.
            per_class: Most windows of a class in a split.
            shards: Every replica always draws from its own part, as in :class:`LandCoverScene`.
            valid_range: Lowest and highest value that is data.
            transforms: Applied to each item.
            cache: Folder of what is drawn and cut.

        Raises:
            ValueError: An argument is not allowed, a file cannot be read, no polygon is in the
                scene, or a class cannot be in each split.
            DatasetNotFoundError: One of the files is not there.
        """
        options_of_polygons = PolygonOptions(
            field=field,
            classes=classes if classes is None else tuple(classes),
            window=window,
            block=block,
            fractions=tuple(fractions),
            stride=stride,
            seed=seed,
        )
        entry = draw_polygons(image, polygons, options_of_polygons, Path(cache).resolve())
        super().__init__(
            image,
            entry.folder / "labels.tif",
            split,
            window=window,
            split_by=STRATIFIED,
            regions=entry.folder / "regions.tif",
            fractions=fractions,
            stride=stride,
            seed=seed,
            bands=bands,
            per_class=per_class,
            shards=shards,
            valid_range=valid_range,
            transforms=transforms,
            cache=cache,
        )
        rows, columns = self.centres.T
        self.polygons = np.asarray(entry.arrays["polygons"][rows, columns])
        self.checksum = str(entry.meta["checksum"])


@dataclass(frozen=True, kw_only=True)
class PolygonOptions:
    """How polygons become labels and regions; see :class:`PolygonScene` for each."""

    field: str
    classes: tuple[str, ...] | None
    window: int
    block: int | None
    fractions: tuple[float, ...]
    stride: int
    seed: int

    def __post_init__(self) -> None:
        check_split(SPLITS[0], self.fractions)
        whole("window", self.window, low=1)
        whole("stride", self.stride, low=1)
        if self.block is not None:
            whole("block", self.block, low=1)

    def sides(self) -> list[int]:
        """Return the sides of squares that are tried, in pixels; 0 is each polygon by itself."""
        if self.block is not None:
            return [self.block]
        return [group * self.window for group in GROUPS]


def draw_polygons(
    image: File,
    polygons: File,
    options: PolygonOptions,
    folder: Path,
) -> store.Entry:
    """Draw polygons on a scene's grid.

    Args:
        image: Path of the scene.
        polygons: Path of the polygons.
        options: Which of them, and what comes into one split.
        folder: Of the cache.

    Returns:
        The entry with ``labels.tif`` and ``regions.tif`` in its folder, and the array ``polygons``:
        the number of each pixel's polygon, -1 for none, (height, width).

    Raises:
        ValueError: As for :class:`PolygonScene`.
        DatasetNotFoundError: One of the files is not there.
    """
    kinds = {"a GeoTIFF": image, "a GeoJSON or GeoPackage": polygons}
    for kind, path in kinds.items():
        if not Path(path).is_file():
            raise DatasetNotFoundError(f"There is no file {path}; give the path of {kind}.")
    content = {
        "checksum": store.checksum(source_files(image, polygons), folder),
        "polygons": repr(options),
    }

    def build(out: Path) -> store.Content:
        found = read_polygons(polygons, options.field)
        named = classes_in_use(found, options.classes, polygons)
        numbers = numbers_of_pixels(found, image, polygons)
        codes = codes_of_pixels(numbers, found, named)
        regions = best_regions(numbers, codes, named, options)
        tags = {f"{TAG}{code}": name for code, name in named.items()}
        write_band(out / "labels.tif", codes, image, tags)
        write_band(out / "regions.tif", regions, image, {})
        return {}, {"polygons": numbers}

    return store.fetch(folder, content, build)


def best_regions(
    numbers: np.ndarray,
    codes: np.ndarray,
    named: Mapping[int, str],
    options: PolygonOptions,
) -> np.ndarray:
    """Return which pixels must come into one split: polygons, or groups of near ones.

    Args:
        numbers: Of the pixels' polygons, -1 for none, (height, width).
        codes: Class numbers of the pixels, 0 for none, (height, width).
        named: The classes to use, by number.
        options: What the splits depend on.

    Returns:
        Numbers of the regions from 1, 0 for none, (height, width) int32; of those that were tried
        the ones with most windows.

    Raises:
        ValueError: A class cannot be in each split.
    """
    usable = np.zeros(codes.shape, bool)
    usable[:: options.stride, :: options.stride] = True
    used = np.where(codes > 0, numbers, -1)
    tried = []
    problems = []
    for side in options.sides():
        regions = grouped(used, side)
        try:
            splits = stratified_splits(
                codes,
                named,
                usable,
                window=options.window,
                regions=regions,
                fractions=options.fractions,
                seed=options.seed,
            )
        except ValueError as error:
            problems.append(error)
            continue
        tried.append((np.count_nonzero((splits >= 0) & (codes > 0)), regions))
    if not tried:
        raise problems[0]
    _, best = max(tried, key=itemgetter(0))
    return best
