"""Windows of a GeoTIFF scene around labelled pixels, with splits that share no pixel."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hetlib import cache as store
from hetlib.images import SPLITS, File, ImageDataset, Transforms, check, moments, optional, valid_pixels

__all__ = ["LandCoverScene", "read_scene", "zones"]


class LandCoverScene(ImageDataset):
    """Windows of any multi-band GeoTIFF, labelled by the class of their centre pixel.

    Windows are drawn at random around labelled pixels that are valid in every band, equally many a class
    where there are enough; the rest of a window may be unlabelled or without data. ``centres`` (n, 2) holds
    their row and column.

    Args:
        image: GeoTIFF with the bands, named by its band descriptions.
        labels: GeoTIFF on the same grid: class numbers, 0 for unlabelled; tags ``CLASS_<number>`` name them.
        split: As for :class:`ImageDataset`; so are ``bands``, ``valid_range``, ``transforms`` and ``cache``.
        window: Height and width of the images, in pixels.
        classes: Names of the classes to use, or ``{number: name}`` where the file has none.
        split_by: ``"columns"`` (training left, test right) or ``"blocks"`` (squares of 8 windows dealt by the seed).
        fractions: Shares of the scene for training, validation and test.
        per_class: Most windows of a class in a split.
        stride: Centres lie on every ``stride``-th row and column; ``window`` keeps windows from overlapping.
        seed: Draws windows and blocks.
    """

    def __init__(
        self,
        image: File,
        labels: File,
        split: str = "train",
        *,
        window: int = 16,
        bands: Sequence[str] | None = None,
        classes: Sequence[str] | Mapping[int, str] | None = None,
        split_by: str = "columns",
        fractions: Sequence[float] = (0.6, 0.1, 0.3),
        per_class: int = 400,
        stride: int = 1,
        valid_range: tuple[float, float] | None = None,
        seed: int = 0,
        transforms: Transforms | None = None,
        cache: File | None = None,
    ):
        check(split, fractions)
        if min(numbers := (window, per_class, stride)) < 1:
            raise ValueError(f"`window`, `per_class`, `stride` must be 1 or more, got {numbers}.")
        for path in (image, labels):
            if not Path(path).is_file():
                raise FileNotFoundError(f"There is no file {path}; give the path of a GeoTIFF.")
        folder = store.base(cache)
        checksum = store.checksum({"image": Path(image).resolve(), "labels": Path(labels).resolve()}, folder)

        def build(_: Path) -> tuple[dict, dict[str, np.ndarray]]:
            pixels, names, nodata = read_scene(image)
            codes, named = read_labels(labels, image, classes)
            usable = valid_pixels(pixels, nodata, valid_range).all(2)
            usable &= (np.arange(usable.shape[0]) % stride == 0)[:, None]
            usable &= np.arange(usable.shape[1]) % stride == 0
            zone = zones(usable.shape, window, split_by, fractions, 8 * window, seed)
            rng, drawn = np.random.default_rng(seed), []
            for s, part in enumerate(SPLITS):
                for label, (number, name) in enumerate(named.items()):
                    found = np.flatnonzero(usable & (zone == s) & (codes == number))
                    if not len(found) and s != 1 and fractions[s] > 0:
                        raise ValueError(
                            f"Class {name!r} of {labels} has no window for {part}: leave it out with "
                            "`classes=`, or change `split_by`, `fractions`, `seed` or `window`."
                        )
                    found = np.sort(rng.choice(found, min(per_class, len(found)), replace=False))
                    drawn.append(np.stack([found, np.full_like(found, label), np.full_like(found, s)]))
            flat, label_of, split_of = np.concatenate(drawn, axis=1)
            centres = np.stack(np.unravel_index(flat, codes.shape), axis=1)
            views = np.lib.stride_tricks.sliding_window_view(pixels, (window, window), axis=(0, 1))
            cut = views[tuple((centres - window // 2).T)].transpose(0, 2, 3, 1)
            valid = valid_pixels(cut, nodata, valid_range)
            meta: dict = {
                "checksum": checksum,
                "bands": names,
                "classes": list(named.values()),
                "nodata": nodata,
            }
            meta |= {"valid_range": valid_range, "clean": bool(valid.all())}
            arrays = {"images": np.ascontiguousarray(cut), "labels": label_of, "splits": split_of}
            return meta, arrays | {"centres": centres, "moments": moments(cut, valid)}

        chosen = sorted(classes.items()) if isinstance(classes, Mapping) else classes
        options = [numbers, chosen, split_by, list(fractions), valid_range, seed]
        entry = store.fetch(folder, {"scene": checksum, "options": options}, build)
        super().__init__(entry, np.asarray(entry.arrays["splits"]), split, bands, transforms)
        self.centres = np.asarray(entry.arrays["centres"])[self.indices]


def read_scene(image: File) -> tuple[np.ndarray, tuple[str, ...], float | None]:
    """Read a raster: pixels (height, width, bands) in its own type, band names (or numbers), nodata value."""
    with optional("rasterio", "rasterio").open(image) as raster:
        names = tuple(name or str(i) for i, name in enumerate(raster.descriptions, 1))
        return np.ascontiguousarray(raster.read().transpose(1, 2, 0)), names, raster.nodata


def read_labels(
    labels: File, image: File, classes: Sequence[str] | Mapping[int, str] | None
) -> tuple[np.ndarray, dict[int, str]]:
    """Read class numbers (height, width) and the names of those to use; refuse another grid."""
    rasterio = optional("rasterio", "rasterio")
    with rasterio.open(labels) as raster, rasterio.open(image) as scene:
        grids = [(str(r.crs), r.shape, tuple(round(x, 6) for x in r.transform[:6])) for r in (raster, scene)]
        if grids[0] != grids[1]:
            raise ValueError(
                f"{labels} is on another grid (CRS, shape, transform) than {image}: {grids[0]}, not "
                f"{grids[1]}. Try `rio warp {labels} on_grid.tif --like {image} --resampling nearest`."
            )
        if raster.count != 1 or not raster.dtypes[0].startswith(("int", "uint")):
            raise ValueError(f"{labels} must be one band of whole numbers, got {raster.dtypes}.")
        codes, tags = raster.read(1).astype(np.int64), raster.tags()
        codes[codes == (0 if raster.nodata is None else raster.nodata)] = 0
    if isinstance(classes, Mapping):
        return codes, dict(classes)
    named = {int(k[6:]): v for k, v in tags.items() if k.startswith("CLASS_") and k[6:].isdigit()}
    named = named or {int(number): f"class {number}" for number in np.unique(codes) if number}
    if classes is not None and (unknown := set(classes) - set(named.values())):
        allowed = list(named.values())
        raise ValueError(f"`classes` has {sorted(unknown)}; {labels} has {allowed}; use those.")
    return codes, {k: v for k, v in sorted(named.items()) if classes is None or v in classes}


def zones(
    shape: tuple[int, int], window: int, split_by: str, fractions: Sequence[float], block: int, seed: int
) -> np.ndarray:
    """Say which split may have a window centred on each pixel: (height, width) int8, -1 for none.

    Windows lie within their zone, and zones are a window's width apart, so splits share no pixel.
    """
    height, width = shape
    if split_by == "columns":
        cuts = np.rint(np.cumsum((0, *fractions)) * width).astype(int)
        cells = [(0, height, cuts[i], cuts[i + 1], i) for i in range(3)]
    elif split_by == "blocks":
        corners = [(row, column) for row in range(0, height, block) for column in range(0, width, block)]
        deal = np.searchsorted(np.cumsum(fractions)[:2], (np.arange(len(corners)) + 0.5) / len(corners))
        deal = np.random.default_rng(seed).permutation(deal)
        cells = [
            (r, min(r + block, height), c, min(c + block, width), s) for (r, c), s in zip(corners, deal, strict=True)
        ]
    else:
        raise ValueError(f"`split_by` must be 'columns' or 'blocks', got {split_by!r}.")
    out, half, gap = np.full(shape, -1, np.int8), window // 2, (window + 1) // 2
    for top, bottom, left, right, split in cells:  # inner borders move in by half the gap
        first = [edge + gap * (edge > 0) + half for edge in (top, left)]
        ends = [(bottom, height), (right, width)]
        last = [max(edge - gap * (edge < end) - window + half + 1, 0) for edge, end in ends]
        out[first[0] : last[0], first[1] : last[1]] = split
    return out
