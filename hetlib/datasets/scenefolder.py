"""Class-per-folder trees of images, in a folder or an archive, with stratified seeded splits."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from hetlib.datasets import cache as store
from hetlib.datasets.decoding import SUFFIXES, decode_all, open_tree
from hetlib.datasets.images import ImageDataset
from hetlib.datasets.splits import assign, check, join_groups
from hetlib.datasets.types import File, Names, Range, Transforms

COLOURS = {1: ("grey",), 3: ("red", "green", "blue")}


class SceneFolder(ImageDataset):
    """Images sorted into one folder a class: JPEG, PNG or TIFF with any number of bands, all of one size.

    Each class is split in the same shares. Equal images, also mirrored or turned ones, always come
    into one split.
    """

    def __init__(
        self,
        root: File,  # the folder, or a .tar, .tar.gz or .zip of it, which is read without unpacking
        split: str = "train",
        *,
        bands: Names = None,
        band_names: Names = None,  # by default those in the files, red green blue, or numbers
        # names of the class folders where they are known; others are refused
        classes: Names = None,
        size: int | None = None,  # height and width that every image is brought to, in pixels
        # of each class for training, validation and test
        fractions: Sequence[float] = (0.6, 0.1, 0.3),
        # CSV of `file` (from the root) and `group`; a group comes into one split
        groups: File | None = None,
        valid_range: Range = None,
        seed: int = 0,  # draws the splits
        transforms: Transforms = None,
        cache: File = store.CACHE,
    ):
        check(split, fractions)
        source, folder = Path(root).resolve(), Path(cache).resolve()
        names, files, read = open_tree(source)
        known = class_names(source, names, classes)
        labels = np.array([known.index(PurePosixPath(name).parent.name) for name in names])
        content: dict[str, Any] = {
            "checksum": store.checksum(files, folder),
            "valid_range": valid_range,
        }
        content |= {"classes": known, "size": size, "band_names": band_names and list(band_names)}

        def build(out: Path) -> tuple[dict, dict[str, np.ndarray]]:
            stats, nodata, described = decode_all(
                out / "images.npy", source, names, read, size, valid_range
            )
            default = COLOURS.get(count := stats.shape[2], [str(i + 1) for i in range(count)])
            if len(bands := band_names or (described if all(described) else default)) != count:
                raise ValueError(
                    f"`band_names` must have {count} names for {source}, got {band_names}."
                )
            twins = np.unique(stats.reshape(len(stats), -1), axis=0, return_inverse=True)[
                1
            ].reshape(-1)
            return {"bands": bands, "nodata": nodata}, {
                "labels": labels,
                "moments": stats,
                "twins": twins,
            }

        entry = store.fetch(folder, content, build)
        together = join_groups(entry.arrays["twins"], groups, names)
        super().__init__(entry, assign(labels, together, fractions, seed), split, bands, transforms)


def class_names(root: Path, names: Sequence[str], classes: Names) -> list[str]:
    """Return the class folders' names in order; refuse a tree without them, or with others than known."""
    folders = {PurePosixPath(name).parent for name in names}
    found, above = sorted(folder.name for folder in folders), {folder.parent for folder in folders}
    if len(above) != 1 or "" in found:
        raise ValueError(
            f"{root} must hold only class folders with images {SUFFIXES} in them, got {found[:5]}."
        )
    if empty := [folder for folder in (root / above.pop()).glob("*/") if folder.name not in found]:
        raise ValueError(f"Class folder {empty[0]} holds no image {SUFFIXES}; fill or remove it.")
    if classes is not None and set(classes) != set(found):
        odd, missing = sorted(set(found) - set(classes)), sorted(set(classes) - set(found))
        raise ValueError(
            f"{root} has unknown classes {odd} and lacks {missing}; fix it or `classes=`."
        )
    return found if classes is None else list(classes)
