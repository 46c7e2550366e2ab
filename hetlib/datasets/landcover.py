"""Windows of a GeoTIFF scene around labelled pixels, with splits that share no pixel."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hetlib.datasets import cache as store
from hetlib.datasets.images import ImageDataset
from hetlib.datasets.labels import read_labels
from hetlib.datasets.owners import check_shards, order_of_owners
from hetlib.datasets.rasters import bands_in, names_of, open_raster, sources_of
from hetlib.datasets.regions import stratified_splits
from hetlib.datasets.splits import check_split
from hetlib.datasets.types import Classes, File, Names, Range, Shards, Transforms
from hetlib.datasets.window_options import STRATIFIED, WindowOptions
from hetlib.datasets.windows import (
    cut_windows,
    draw_windows,
    moments_of_windows,
    splits_of_centres,
)
from hetlib.errors import DatasetNotFoundError
from hetlib.inputs import path


class LandCoverScene(ImageDataset):
    """Windows of any multi-band GeoTIFF, labelled by the class of their centre pixel.

    Windows are drawn at random around labelled pixels that are valid in every band, equally many a
    class where there are enough; the rest of a window may be unlabelled or without data. Each file
    says itself what is data: by its nodata value (of each band), an alpha band, a mask, and NaN.
    The scene is read block by block: it may be larger than memory.

    Attributes:
        centres: Row and column of each window's centre, (n, 2).
        numbers: Of the classes in the label file, in the order of their names.
        valid_range: Lowest and highest value that is data; None is no limit.
        source: Path of the scene.
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
        block: int | None = None,
        regions: File | None = None,
        fractions: Sequence[float] = (0.6, 0.1, 0.3),
        per_class: int = 400,
        stride: int = 1,
        shards: Shards = False,
        valid_range: Range = None,
        seed: int = 0,
        transforms: Transforms = None,
        cache: File = store.CACHE,
    ):
        """Open one split, and cut the windows where the cache does not hold them.

        Args:
            image: GeoTIFF, its bands named by their descriptions. Where it has a scale or an
                offset, values are ``scale * number + offset``, in the file's unit.
            labels: GeoTIFF on the same grid: class numbers; tags ``CLASS_<number>`` name them. Its
                nodata value, mask or alpha band says what is unlabelled; where it has none, 0 is,
                unless 0 has a name.
            split: "train", "validation" or "test".
            window: Height and width of the images, in pixels.
            bands: Names of those to use; None is all.
            classes: Names of those to use, or ``{number: name}`` where the file has none; None is
                all.
            split_by: "columns": training left, test right, whatever the seed; "blocks": squares
                dealt by the seed, where a class may be missing in a split; or "stratified": squares
                or ``regions`` dealt by the seed so that each class is in each split.
            block: Height and width of the squares, in pixels; None is 8 windows, for "stratified"
                4.
            regions: GeoTIFF on the same grid: numbers of the regions (fields, farms, tiles) that
                "stratified" deals whole in place of squares; 0 for none.
            fractions: Of the scene for training, validation and test.
            per_class: Most windows of a class in a split.
            stride: Centres lie on every so many rows and columns; that of ``window`` keeps windows
                from overlapping.
            shards: Every replica always draws from its own part: True: strip of the scene, the
                first one's leftmost; "class": classes, in an order drawn by the seed; "random": any
                windows.
            valid_range: Lowest and highest value that is data, besides what the file says.
            seed: Draws windows and blocks.
            transforms: Applied to each item.
            cache: Folder of what is cut.

        Raises:
            ValueError: An argument is not allowed, the files do not fit each other, or a class has
                no window.
            DatasetNotFoundError: One of the files is not there.
        """
        check_split(split, fractions)
        check_shards(shards, places=True)
        options = WindowOptions(
            window=window,
            classes=classes,
            split_by=split_by,
            block=block,
            regions=regions,
            fractions=fractions,
            per_class=per_class,
            stride=stride,
            valid_range=valid_range,
            seed=seed,
        )
        check_files(image=image, labels=labels)
        folder = path("cache", cache).resolve()
        content = {
            "checksum": store.checksum(source_files(image, labels, regions), folder),
            "valid_range": options.valid_range,
            "windows": options.identity(),
        }

        def build(out: Path) -> store.Content:
            return cut_scene(out, image, labels, options)

        entry = store.fetch(folder, content, build)

        assigned = entry.arrays["splits"]
        super().__init__(entry, assigned, split, bands=bands, transforms=transforms)
        self.centres = np.asarray(entry.arrays["centres"])[self.indices]
        self.numbers: tuple[int, ...] = tuple(entry.meta["numbers"])
        self.valid_range = valid_range
        self.source = Path(image)
        self.shards = order_of_owners(shards, self.labels, options.seed, self.centres[:, 1])


def check_files(**rasters: File) -> None:
    """Refuse paths where there is no file.

    Args:
        rasters: Paths by the arguments that they are.

    Raises:
        ValueError: One of them is no path.
        DatasetNotFoundError: One of them is not there.
    """
    for name, raster in rasters.items():
        if not path(name, raster).is_file():
            raise DatasetNotFoundError(f"There is no file {raster}; give the path of a GeoTIFF.")


def source_files(image: File, labels: File, regions: File | None = None) -> dict[str, Path]:
    """Return the files that windows depend on, by names that are the same on every machine.

    Args:
        image: Path of the scene.
        labels: Path of its labels.
        regions: Path of its regions; None is none.
    """
    files = sources("image", image) | sources("labels", labels)
    if regions is not None:
        files |= sources("regions", regions)
    return files


def sources(role: str, raster: File) -> dict[str, Path]:
    """Return the files that a raster is read from, by names that are the same on every machine.

    Args:
        role: What the raster is.
        raster: Its path.
    """
    own, *others = sources_of(raster)
    found = {role: own}
    for position, file in enumerate(others):
        found[f"{role} {position} {file.name}"] = file
    return found


def cut_scene(
    folder: Path,
    image: File,
    labels: File,
    options: WindowOptions,
) -> store.Content:
    """Draw windows in a scene and cut them out: what a cache entry holds.

    Args:
        folder: Of the entry, where the pixels are written: ``images`` (n, window, window, bands),
            and where data are missing ``gaps``.
        image: Path of the scene.
        labels: Path of its labels.
        options: Which windows.

    Returns:
        Names of bands, names and numbers of classes; and the arrays ``moments`` (n, 3, bands),
        ``labels``, ``splits`` (n,) and ``centres`` (n, 2).

    Raises:
        ValueError: A file cannot be read, the files do not fit each other, or a class has no
            window.
    """
    codes, named = read_labels(labels, image, options.classes)
    with open_raster(image) as raster:
        bands = bands_in(raster)
        splits = splits_of_centres(raster, bands, options)
        if options.split_by == STRATIFIED:
            splits = stratified_splits(
                codes,
                named,
                splits >= 0,
                window=options.window,
                regions=options.regions or options.side(),
                fractions=options.fractions,
                seed=options.seed,
            )
        windows = draw_windows(codes, named, splits, options, labels)
        centres = np.stack(np.unravel_index(windows.flat, codes.shape), axis=1)
        images, gaps = cut_windows(folder, raster, bands, centres, options)

    arrays = {
        "moments": moments_of_windows(images, gaps),
        "labels": windows.labels,
        "splits": windows.splits,
        "centres": centres,
    }
    meta = {
        "bands": names_of(bands),
        "classes": list(named.values()),
        "numbers": [int(number) for number in named],
    }
    return meta, arrays
