"""Class-per-folder trees of images, in a folder or an archive, with stratified seeded splits."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from hetlib.datasets import arguments
from hetlib.datasets import cache as store
from hetlib.datasets.decoding import DecodingOptions, decode_all
from hetlib.datasets.filenames import SUFFIXES
from hetlib.datasets.images import ImageDataset
from hetlib.datasets.layouts import are_names
from hetlib.datasets.owners import check_shards, order_of_owners
from hetlib.datasets.splits import assign, check_split, join_groups
from hetlib.datasets.trees import Tree, open_tree, resolved
from hetlib.datasets.types import File, Names, Range, Shards, Transforms
from hetlib.inputs import path, whole

# Names of bands by their number, where the files have none; other numbers of bands are counted.
COLOURS = {1: ("grey",), 3: ("red", "green", "blue")}


class SceneFolder(ImageDataset):
    """Images sorted into one folder a class, all of one size.

    They are JPEG, JPEG 2000, PNG, GIF, BMP, WebP, PPM, or TIFF with any bands.

    Each class is split in the same shares. Equal images, also mirrored or turned ones, always come
    into one split.

    Each file says itself where it has data (nodata value, alpha, mask, NaN), in which order its
    bands are (by their names), and what its numbers mean: where files have a scale or an offset,
    values are ``scale * number + offset``, in the files' unit. A grey image among colour ones is
    three equal bands; a palette, CMYK or 1 bit becomes colour or grey; 16 bits stay 16 bits (see
    :mod:`hetlib.datasets.pictures`). Hidden files and folders are left out, links are followed.
    """

    def __init__(
        self,
        root: File,
        split: str = "train",
        *,
        bands: Names = None,
        band_names: Names = None,
        classes: Names = None,
        size: int | None = None,
        fractions: Sequence[float] = (0.6, 0.1, 0.3),
        groups: File | None = None,
        valid_range: Range = None,
        seed: int = 0,
        shards: Shards = False,
        transforms: Transforms = None,
        cache: File = store.CACHE,
    ):
        """Open one split, and decode the images where the cache does not hold them.

        Args:
            root: The folder above the class folders, or a .tar, .tar.gz or .zip of it, which is
                read without unpacking.
            split: "train", "validation" or "test".
            bands: Names of those to use; None is all.
            band_names: Names of all bands; None is those in the files, red green blue, or numbers.
            classes: Names of the class folders where they are known; others are refused.
            size: Height and width that every image is brought to, in pixels; None is its own.
            fractions: Of each class for training, validation and test.
            groups: CSV of ``file`` (from the root) and ``group``; a group comes into one split.
            valid_range: Lowest and highest value that is data, besides what the files say.
            seed: Draws the splits.
            shards: Every replica always draws from its own part: "class": classes, in an order
                drawn by the seed; "random": any images.
            transforms: Applied to each item.
            cache: Folder of what is decoded.

        Raises:
            ValueError: An argument is not allowed, the tree is not one of class folders, or its
                images cannot be read or are not alike.
            DatasetNotFoundError: There is no such folder or archive.
        """
        check_split(split, fractions)
        check_shards(shards, places=False)
        options = DecodingOptions(size, valid_range)
        whole("seed", seed, low=0)
        classes = arguments.names("classes", classes)
        band_names = arguments.names("band_names", band_names)
        folder = path("cache", cache).resolve()
        tree = open_tree(resolved(path("root", root)))
        known = class_names(tree, classes)
        folders = [PurePosixPath(name).parent.name for name in tree.names]
        labels = np.array([known.index(name) for name in folders])

        listed_names = None if band_names is None else list(band_names)
        content = {
            "checksum": store.checksum(tree.files, folder),
            "valid_range": options.valid_range,
            "classes": known,
            "size": options.size,
            "band_names": listed_names,
        }

        def build(out: Path) -> store.Content:
            return decode_tree(out, tree, labels, options, band_names)

        entry = store.fetch(folder, content, build)

        together = join_groups(entry.arrays["twins"], groups, tree.names)
        assigned = assign(labels, together, fractions, seed)
        super().__init__(entry, assigned, split, bands=bands, transforms=transforms)
        self.shards = order_of_owners(shards, self.labels, seed)


def decode_tree(
    folder: Path,
    tree: Tree,
    labels: np.ndarray,
    options: DecodingOptions,
    band_names: Names,
) -> store.Content:
    """Decode all images of a tree: what a cache entry holds.

    Args:
        folder: Of the entry, where the pixels are written.
        tree: The images.
        labels: Of the images, (n,).
        options: Size of the images, and which values are data.
        band_names: Names of the bands; None is those in the files.

    Returns:
        The bands' names; and the arrays ``labels``, ``twins`` (n,) and ``moments`` (n, 3, bands).

    Raises:
        ValueError: An image cannot be read, the images are not alike, or the bands' names do not
            fit them.
    """
    decoded = decode_all(folder, tree, options)
    stats = decoded.moments
    names = names_of_bands(tree.root, stats.shape[2], decoded.bands, band_names)
    arrays = {"labels": labels, "moments": stats, "twins": find_twins(stats)}
    return {"bands": names}, arrays


def names_of_bands(
    root: Path,
    count: int,
    described: Sequence[str | None],
    given: Names,
) -> Sequence[str | None]:
    """Return the names of all bands.

    Args:
        root: Of the tree, for the message.
        count: Number of bands.
        described: Names in the files, None where a band has none.
        given: Names that the caller gives; None is those in the files, else usual ones.

    Raises:
        ValueError: There are more or fewer names than bands.
    """
    numbers = [str(i + 1) for i in range(count)]
    names: Sequence[str | None] = COLOURS.get(count, numbers)
    if are_names(described):
        names = described
    if given:
        names = given
    if len(names) != count:
        raise ValueError(f"`band_names` must have {count} names for {root}, got {given}.")
    return names


def find_twins(moments: np.ndarray) -> np.ndarray:
    """Number images by their moments, so that equal ones, also mirrored or turned, are one.

    Args:
        moments: (n, 3, bands).

    Returns:
        Equal images have equal numbers, (n,).
    """
    rows = moments.reshape(len(moments), -1)
    _, twins = np.unique(rows, axis=0, return_inverse=True)
    return twins.reshape(-1)


def class_names(tree: Tree, classes: Names) -> list[str]:
    """Return the class folders' names, in the order of their labels.

    Args:
        tree: Of images.
        classes: Names of the class folders where they are known; None is any, sorted.

    Raises:
        ValueError: There is an image outside class folders, a class folder without images, or
            another class than those known.
    """
    found = class_folders(tree)
    if classes is None:
        return found
    odd = sorted(set(found) - set(classes))
    missing = sorted(set(classes) - set(found))
    if odd or missing:
        raise ValueError(
            f"{tree.root} has unknown classes {odd} and lacks {missing}; fix it or `classes=`."
        )
    return list(classes)


def class_folders(tree: Tree) -> list[str]:
    """Return the names of the folders that hold images, sorted.

    Args:
        tree: Of images.

    Raises:
        ValueError: They do not lie beside each other, an image lies in none of them, or one beside
            them holds no image.
    """
    folders = {PurePosixPath(name).parent for name in tree.names}
    found = sorted(folder.name for folder in folders)
    above = {folder.parent for folder in folders}
    if len(above) != 1 or "" in found:
        raise ValueError(
            f"{tree.root} must hold only class folders with images {SUFFIXES} in them, "
            f"got {found[:5]}."
        )

    top = above.pop()
    for name in tree.folders:
        folder = PurePosixPath(name)
        is_class = folder.parent == top and folder != top
        if is_class and folder.name not in found:
            raise ValueError(
                f"Class folder {tree.root / folder} holds no image {SUFFIXES}, or is a link to "
                "nothing; fill, mend or remove it."
            )
    return found
