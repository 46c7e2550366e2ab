"""Scenes and their labels, read from GeoTIFFs."""

from collections.abc import Mapping

import numpy as np

from hetlib.datasets.types import Classes, File


def read_scene(image: File) -> tuple[np.ndarray, tuple[str, ...], float | None]:
    """Read a raster: pixels (height, width, bands) in its own type, band names (or numbers), nodata value."""
    import rasterio

    with rasterio.open(image) as raster:
        names = tuple(name or str(i) for i, name in enumerate(raster.descriptions, 1))
        return np.ascontiguousarray(raster.read().transpose(1, 2, 0)), names, raster.nodata


def read_labels(labels: File, image: File, classes: Classes) -> tuple[np.ndarray, dict[int, str]]:
    """Read class numbers (height, width) and the names of those to use; refuse another grid."""
    import rasterio

    with rasterio.open(labels) as raster, rasterio.open(image) as scene:
        grid, wanted = (
            (str(r.crs), r.shape, tuple(round(x, 6) for x in r.transform[:6]))
            for r in (raster, scene)
        )
        if grid != wanted:
            remedy = f"try `rio warp {labels} on_grid.tif --like {image} --resampling nearest`"
            finding = f"{labels} is on another grid (CRS, shape, transform) than {image}"
            raise ValueError(f"{finding}: {grid}, not {wanted}; {remedy}.")
        if raster.count != 1 or not np.issubdtype(raster.dtypes[0], np.integer):
            raise ValueError(f"{labels} must be one band of whole numbers, got {raster.dtypes}.")
        codes, tags = raster.read(1).astype(np.int64), raster.tags()
        codes[codes == raster.nodata] = 0
    if isinstance(classes, Mapping):
        return codes, dict(classes)
    named = {
        int(key[6:]): tags[key] for key in tags if key.startswith("CLASS_") and key[6:].isdigit()
    }
    named = named or {int(number): f"class {number}" for number in np.unique(codes) if number}
    if unknown := set(classes or ()) - set(named.values()):
        raise ValueError(
            f"`classes` has {sorted(unknown)}; {labels} has {list(named.values())}; use those."
        )
    return codes, {
        number: name for number, name in sorted(named.items()) if classes is None or name in classes
    }
