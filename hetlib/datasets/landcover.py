"""Windows of a GeoTIFF scene around labelled pixels, with splits that share no pixel."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from hetlib.datasets import cache as store
from hetlib.datasets.images import ImageDataset
from hetlib.datasets.rasters import read_labels, read_scene
from hetlib.datasets.splits import SPLITS, check, zones
from hetlib.datasets.statistics import moments, valid_pixels
from hetlib.datasets.types import Classes, File, Names, Range, Transforms


class LandCoverScene(ImageDataset):
    """Windows of any multi-band GeoTIFF, labelled by the class of their centre pixel.

    Windows are drawn at random around labelled pixels that are valid in every band, equally many a
    class where there are enough; the rest of a window may be unlabelled or without data.
    ``centres`` (n, 2) holds their row and column.
    """

    def __init__(
        self,
        image: File,  # GeoTIFF, its bands named by their descriptions
        # GeoTIFF on the same grid: class numbers, 0 for unlabelled; tags CLASS_<number> name them
        labels: File,
        split: str = "train",
        *,
        window: int = 16,  # height and width of the images, in pixels
        bands: Names = None,
        classes: Classes = None,  # names of those to use, or {number: name} where the file has none
        # training left, test right; or "blocks": squares of 8 windows dealt by the seed
        split_by: str = "columns",
        # of the scene for training, validation and test
        fractions: Sequence[float] = (0.6, 0.1, 0.3),
        per_class: int = 400,  # most windows of a class in a split
        # centres lie on every so many rows and columns; `window` keeps windows from overlapping
        stride: int = 1,
        # every replica always draws from its own strip of the scene, the first one's leftmost
        shards: bool = False,
        valid_range: Range = None,
        seed: int = 0,  # draws windows and blocks
        transforms: Transforms = None,
        cache: File = store.CACHE,
    ):
        check(split, fractions)
        if min(numbers := (window, per_class, stride)) < 1:
            raise ValueError(f"`window`, `per_class`, `stride` must be 1 or more, got {numbers}.")
        if missing := [path for path in (image, labels) if not Path(path).is_file()]:
            raise FileNotFoundError(f"There is no file {missing[0]}; give the path of a GeoTIFF.")
        folder = Path(cache).resolve()
        checksum = store.checksum(
            {"image": Path(image).resolve(), "labels": Path(labels).resolve()}, folder
        )
        chosen = list(classes.items()) if isinstance(classes, Mapping) else classes
        windows = [numbers, chosen, split_by, list(fractions), seed]
        content = {"checksum": checksum, "valid_range": valid_range, "windows": windows}

        def build(_: Path) -> tuple[dict, dict[str, np.ndarray]]:
            pixels, names, nodata = read_scene(image)
            codes, named = read_labels(labels, image, classes)
            usable = np.zeros(codes.shape, bool)
            usable[::stride, ::stride] = valid_pixels(
                pixels[::stride, ::stride], nodata, valid_range
            ).all(2)
            zone = zones(codes.shape, window, split_by, fractions, 8 * window, seed)
            rng, drawn = np.random.default_rng(seed), []
            for (s, part), (label, (number, name)) in product(
                enumerate(SPLITS), enumerate(named.items())
            ):
                found = np.flatnonzero(usable & (zone == s) & (codes == number))
                if not len(found) and part != "validation" and fractions[s] > 0:
                    remedy = "leave it out with `classes=`, or change `split_by`, `fractions`, `seed` or `window`"
                    raise ValueError(
                        f"Class {name!r} of {labels} has no window for {part}: {remedy}."
                    )
                found = np.sort(rng.choice(found, min(per_class, len(found)), replace=False))
                drawn.append(np.stack(np.broadcast_arrays(found, label, s)))
            flat, label_of, split_of = np.concatenate(drawn, axis=1)
            centres = np.stack(np.unravel_index(flat, codes.shape), axis=1)
            views = np.lib.stride_tricks.sliding_window_view(pixels, (window, window), axis=(0, 1))
            images = np.ascontiguousarray(
                views[tuple((centres - window // 2).T)].transpose(0, 2, 3, 1)
            )
            arrays = {"images": images, "moments": moments(images, nodata, valid_range)}
            arrays |= {"labels": label_of, "splits": split_of, "centres": centres}
            return {"bands": names, "classes": list(named.values()), "nodata": nodata}, arrays

        entry = store.fetch(folder, content, build)
        super().__init__(entry, entry.arrays["splits"], split, bands, transforms)
        self.centres = np.asarray(entry.arrays["centres"])[self.indices]
        self.shards = np.argsort(self.centres[:, 1], kind="stable") if shards else None
