"""Class-per-folder trees of images, in a folder or an archive, with stratified seeded splits."""

import csv
import io
import re
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from . import cache as store
from .images import File, ImageDataset, Names, Range, Transforms, check, moments

TIFF = (".tif", ".tiff")
SUFFIXES = (".jpg", ".jpeg", ".png", *TIFF)
is_image = re.compile(
    rf"(.*/)?[^./][^/]*({'|'.join(map(re.escape, SUFFIXES))})", re.IGNORECASE | re.DOTALL
).fullmatch
COLOURS = {1: ("grey",), 3: ("red", "green", "blue")}
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


def join_groups(twins: np.ndarray, table: File | None, names: Sequence[str]) -> np.ndarray:
    """Return ``twins`` (n,), where the images of each group in a ``file,group`` table also have one number."""
    together, places, firsts = (
        np.array(twins),
        {name: i for i, name in enumerate(names)},
        dict[str, int](),
    )
    for row in csv.DictReader(Path(table).read_text().splitlines() if table else ()):
        if row.get("file") not in places or not row.get("group"):
            raise ValueError(
                f"{table}: {row} must have `group` and `file`, a name such as {names[0]!r}."
            )
        place = places[row["file"]]
        together[together == together[place]] = together[firsts.setdefault(row["group"], place)]
    return together


def assign(
    labels: np.ndarray, together: np.ndarray, fractions: Sequence[float], seed: int
) -> np.ndarray:
    """Deal images into splits, (n,) int8: classes in the same shares, equal numbers in ``together`` into one."""
    out, sizes = np.zeros(len(labels), np.int8), np.bincount(labels)
    # (3, classes)
    wanted = np.diff(np.rint(np.outer(np.cumsum(fractions), sizes)), axis=0, prepend=0)
    _, counts = np.unique(together, return_counts=True)
    groups = np.split(np.argsort(together), np.cumsum(counts)[:-1])
    order = np.random.default_rng(seed).permutation(len(groups))
    # large ones first, each to where most is missing
    for group in order[np.argsort(-counts[order], kind="stable")]:
        members = groups[group]
        mine = np.bincount(labels[members], minlength=len(sizes))
        out[members] = best = np.argmax(wanted @ mine)
        wanted[best] -= mine
    return out
