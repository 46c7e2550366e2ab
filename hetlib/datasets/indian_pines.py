"""Indian Pines: 145 x 145 pixels of AVIRIS in 200 bands, crops and land cover in 16 classes.

As spectra of single pixels (``window=1, components=None``: 200 bands), or as windows, of all bands
or of the principal components of the training pixels. Squares of the scene are dealt to the splits,
so that no pixel is in two: windows drawn at random share most of their pixels with the test's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hetlib.datasets import cache as store
from hetlib.datasets.catalog import find_scene, register, scene_files
from hetlib.datasets.labels import read_labels
from hetlib.datasets.landcover import LandCoverScene, source_files
from hetlib.datasets.rasters import read_scene
from hetlib.datasets.regions import stratified_splits
from hetlib.datasets.splits import SPLITS, check_split
from hetlib.datasets.types import Classes, File, Names, Range, Shards, Transforms
from hetlib.datasets.window_options import STRATIFIED
from hetlib.errors import require
from hetlib.inputs import keep, optional, whole

NAME = "indian_pines"

# Those of more than 200 pixels. The other four (alfalfa 46, grass-pasture-mowed 28, oats 20,
# stone-steel-towers 93) are one small field each, which no squares bring into three splits.
LARGE = (
    "corn-notill",
    "corn-mintill",
    "corn",
    "grass-pasture",
    "grass-trees",
    "hay-windrowed",
    "soybean-notill",
    "soybean-mintill",
    "soybean-clean",
    "wheat",
    "woods",
    "buildings-grass-trees-drives",
)

# Height and width of the squares, in pixels. Each class of `LARGE` then has at least 36 windows of
# 5 pixels in training and test, for seeds 0 to 9; wider ones leave some next to none.
BLOCK = 8

# More than any class has.
ALL = 10_000


class IndianPines(LandCoverScene):
    """Spectra or windows of Indian Pines, with splits that share no pixel.

    ``classes`` is `LARGE`, the 12 classes of 16 that can be in each split, unless others are asked
    for; None asks for all, and the error names those that cannot be.

    Attributes:
        directions: The principal components, (components, bands); None where bands are raw.
    """

    def __init__(
        self,
        root: File | None = None,
        split: str = "train",
        *,
        window: int = 5,
        components: int | None = 30,
        classes: Classes = LARGE,
        block: int | None = None,
        fractions: Sequence[float] = (0.5, 0.1, 0.4),
        per_class: int = ALL,
        stride: int = 1,
        seed: int = 0,
        bands: Names = None,
        shards: Shards = False,
        valid_range: Range = None,
        transforms: Transforms = None,
        cache: File = store.CACHE,
    ):
        """Open one split.

        Args:
            root: Folder with ``indian_pines.tif`` and ``indian_pines_labels.tif``; None is that of
                the clone, or the folder ``HETLIB_DATA``.
            split: "train", "validation" or "test".
            window: Height and width of the images, in pixels; 1 is spectra.
            components: Number of principal components of the training split's labelled pixels that
                stand in place of the bands, named PC1, PC2, ...; None is all 200 bands.
            classes: As for :class:`LandCoverScene`.
            block: Height and width of the squares, in pixels; None is 8, or ``window`` where that
                is more.
            fractions: Of the squares for training, validation and test.
            per_class: Most windows of a class in a split.
            stride: Centres lie on every so many rows and columns.
            seed: Deals the squares, and draws the windows.
            bands: Names of those to use; None is all.
            shards: Every replica always draws from its own part, as in :class:`LandCoverScene`.
            valid_range: Lowest and highest value that is data.
            transforms: Applied to each item.
            cache: Folder of what is cut.

        Raises:
            ValueError: An argument is not allowed, or a class cannot be in each split.
            DatasetNotFoundError: The files are not there.
        """
        check_split(split, fractions)
        window = whole("window", window, low=1)
        components = optional(whole, "components", components)
        if block is None:
            block = max(BLOCK, window)
        dealt = Dealt(
            window=window,
            classes=classes,
            block=block,
            fractions=tuple(fractions),
            stride=stride,
            seed=seed,
        )
        files = find_files(root)
        image = files["image"]
        self.directions: np.ndarray | None = None
        if components is not None:
            entry = project(image, files["labels"], components, dealt, Path(cache).resolve())
            image = entry.folder / "components.tif"
            self.directions = np.asarray(entry.arrays["directions"])

        super().__init__(
            image,
            files["labels"],
            split,
            window=window,
            classes=classes,
            split_by=STRATIFIED,
            block=dealt.block,
            fractions=fractions,
            per_class=per_class,
            stride=stride,
            seed=seed,
            bands=bands,
            shards=shards,
            valid_range=valid_range,
            transforms=transforms,
            cache=cache,
        )
        sources = source_files(files["image"], files["labels"])
        self.checksum = store.checksum(sources, Path(cache).resolve())


def find_files(root: File | None) -> dict[str, Path]:
    """Return the paths of the scene and its labels, by the arguments that they are.

    Args:
        root: The folder that they lie in; None is that of the clone, or ``HETLIB_DATA``.
    """
    if root is None:
        return find_scene(NAME)
    return scene_files(NAME, Path(root))


@dataclass(frozen=True, kw_only=True)
class Dealt:
    """What the splits of the scene depend on; see :class:`IndianPines` for each."""

    window: int
    classes: Classes
    block: int
    fractions: tuple[float, ...]
    stride: int
    seed: int

    def __post_init__(self) -> None:
        """Check the numbers, which the components depend on before any window is drawn."""
        keep(
            self,
            block=whole("block", self.block, low=self.window),
            stride=whole("stride", self.stride, low=1),
            seed=whole("seed", self.seed, low=0),
        )

    def training(self, labels: File, image: File) -> np.ndarray:
        """Return which pixels are labelled and in the training split.

        Args:
            labels: Path of the labels.
            image: Path of the scene.

        Returns:
            (height, width) bool.
        """
        codes, named = read_labels(labels, image, self.classes)
        usable = np.zeros(codes.shape, bool)
        usable[:: self.stride, :: self.stride] = True
        splits = stratified_splits(
            codes,
            named,
            usable,
            window=self.window,
            regions=self.block,
            fractions=self.fractions,
            seed=self.seed,
        )
        return (splits == SPLITS.index("train")) & np.isin(codes, list(named))


def project(image: File, labels: File, components: int, dealt: Dealt, folder: Path) -> store.Entry:
    """Project a scene onto the principal components of its training pixels.

    Args:
        image: Path of the scene.
        labels: Path of its labels.
        components: How many.
        dealt: What the splits depend on.
        folder: Of the cache.

    Returns:
        The entry with ``components.tif`` in its folder, and the array ``directions`` (components,
        bands).

    Raises:
        ValueError: There are not so many bands.
    """
    files = source_files(image, labels)
    content = {
        "checksum": store.checksum(files, folder),
        "components": components,
        "dealt": repr(dealt),
    }

    def build(out: Path) -> store.Content:
        scene = read_scene(image)
        bands = len(scene.bands)
        if not 1 <= components <= bands:
            raise ValueError(f"`components` must be 1 to {bands} or None, got {components!r}.")
        training = scene.pixels[dealt.training(labels, image)]
        mean, directions = principal_components(training, components)
        projected = (scene.pixels - mean) @ directions.T
        write_components(out / "components.tif", projected, image)
        return {}, {"directions": directions}

    return store.fetch(folder, content, build)


def principal_components(pixels: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the directions of largest variance.

    Args:
        pixels: (n, bands).
        components: How many.

    Returns:
        The mean (bands,), and the directions (components, bands), of length 1, largest variance
        first; the largest weight of each is positive.
    """
    values = pixels.astype(np.float64)
    mean = values.mean(0)
    covariance = np.cov(values - mean, rowvar=False)
    _, vectors = np.linalg.eigh(covariance)  # rising
    directions = vectors.T[::-1][:components]
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(components), largest])
    return mean, directions * signs[:, None]


def write_components(path: Path, projected: np.ndarray, image: File) -> None:
    """Write components as a raster on the scene's grid.

    Args:
        path: Where to.
        projected: (height, width, components).
        image: Path of the scene.
    """
    rasterio = require("rasterio", "data")
    height, width, components = projected.shape
    with rasterio.open(image) as scene:
        grid = {"crs": scene.crs, "transform": scene.transform}
    size = {"count": components, "height": height, "width": width, "dtype": "float32"}
    with rasterio.open(path, "w", driver="GTiff", **size, **grid) as out:
        out.write(projected.transpose(2, 0, 1).astype(np.float32))
        out.descriptions = tuple(f"PC{number}" for number in range(1, components + 1))


register(NAME, IndianPines)
