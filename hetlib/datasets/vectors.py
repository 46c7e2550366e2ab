"""Polygons with a class, read from GeoJSON and GeoPackage without a further package."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hetlib.datasets.geopackage import read_geopackage
from hetlib.datasets.types import File
from hetlib.errors import DatasetNotFoundError

GEOJSON = (".geojson", ".json")
GEOPACKAGE = (".gpkg",)

# Coordinates of GeoJSON, where the file does not say otherwise (RFC 7946).
LONGITUDE_LATITUDE = "EPSG:4326"

# Kinds of geometry that are classified.
SURFACES = {"Polygon", "MultiPolygon"}

# Points of a ring, of which the last is the first.
LEAST_POINTS = 4


class Polygons(NamedTuple):
    """Polygons of a file.

    Attributes:
        shapes: Geometries as GeoJSON has them.
        classes: The value of the class field of each.
        crs: Their coordinate system, as rasterio takes it.
    """

    shapes: list[dict[str, Any]]
    classes: list[str]
    crs: str


def read_polygons(path: File, field: str) -> Polygons:
    """Read the polygons of a file and their classes.

    Args:
        path: GeoJSON, or GeoPackage with one layer.
        field: Name of the property that is the class; a polygon without a value is left out.

    Raises:
        ValueError: The file is of another kind or damaged, holds other geometries than polygons, or
            none with a class.
        DatasetNotFoundError: There is no such file.
    """
    file = Path(path)
    if not file.is_file():
        raise DatasetNotFoundError(f"There is no file {path}; give the path of a GeoJSON.")
    suffix = file.suffix.lower()
    if suffix in GEOJSON:
        features, crs = read_geojson(file)
    elif suffix in GEOPACKAGE:
        features, crs = read_geopackage(file)
    else:
        raise ValueError(
            f"{path} must be GeoJSON {GEOJSON} or GeoPackage {GEOPACKAGE}; other kinds, such as "
            "shapefiles: `ogr2ogr polygons.gpkg FILE` or "
            "`geopandas.read_file(FILE).to_file('polygons.gpkg')` write one."
        )
    return checked(features, crs, field, file)


def checked(
    features: Iterable[Mapping[str, Any]],
    crs: str,
    field: str,
    file: Path,
) -> Polygons:
    """Take the polygons that have a class, and refuse what is none.

    Args:
        features: As GeoJSON has them.
        crs: Their coordinate system.
        field: Name of the property that is the class.
        file: For the message.

    Raises:
        ValueError: A feature is no polygon, none has the field, or none a value there.
    """
    shapes = []
    classes = []
    fields: set[str] = set()
    for number, feature in enumerate(features, 1):
        shape = feature.get("geometry")
        properties = feature.get("properties") or {}
        fields |= set(properties)
        if shape is None or properties.get(field) is None:
            continue
        check_polygon(shape, f"{file}: feature {number}")
        shapes.append(shape)
        classes.append(str(properties[field]))
    if not shapes:
        raise ValueError(
            f"{file} has no polygon with a `field` {field!r}; its fields are {sorted(fields)}."
        )
    return Polygons(shapes, classes, crs)


def check_polygon(shape: Any, what: str) -> None:
    """Refuse a geometry that is no polygon of closed rings.

    Args:
        shape: As GeoJSON has it.
        what: What it is, for the message.

    Raises:
        ValueError: It is another one, or damaged.
    """
    kind = shape.get("type") if isinstance(shape, dict) else shape
    if kind not in SURFACES:
        raise ValueError(
            f"{what} is a {kind}, no polygon; leave it out, or give it a width (`buffer` of GIS "
            "programs)."
        )
    coordinates = shape.get("coordinates")
    parts = coordinates if kind == "MultiPolygon" else [coordinates]
    if not is_filled(parts) or not all(are_rings(part) for part in parts):
        raise ValueError(
            f"{what} has no rings of 4 or more points with finite x and y; mend or leave it out."
        )


def are_rings(value: Any) -> bool:
    """Return whether a value is the rings of a polygon: rasterio crashes over others.

    Args:
        value: As JSON holds it.
    """
    if not is_filled(value):
        return False
    for ring in value:
        if not is_filled(ring) or len(ring) < LEAST_POINTS:
            return False
        if not all(is_point(point) for point in ring):
            return False
    return True


def is_point(value: Any) -> bool:
    """Return whether a value is a point: two finite numbers, and perhaps more.

    Args:
        value: As JSON holds it.
    """
    if not is_filled(value) or len(value) < 2:
        return False
    numbers = [isinstance(number, int | float) for number in value]
    return all(numbers) and all(math.isfinite(number) for number in value[:2])


def is_filled(value: Any) -> bool:
    """Return whether a value is a list with something in it.

    Args:
        value: As JSON holds it.
    """
    return isinstance(value, list) and len(value) > 0


def read_geojson(file: Path) -> tuple[list[dict[str, Any]], str]:
    """Return the features of a GeoJSON file, and their coordinate system.

    Args:
        file: Its path.

    Raises:
        ValueError: It is no collection of features.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        features = content["features"]
        named = (content.get("crs") or {}).get("properties", {}).get("name", LONGITUDE_LATITUDE)
        if not all(is_feature(feature) for feature in features):
            raise TypeError("a feature is no object with properties")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{file} is no GeoJSON with `features` ({error!r}); write it again."
        ) from error
    return features, named


def is_feature(value: Any) -> bool:
    """Return whether a value is an object whose properties, if it has some, are one.

    Args:
        value: As JSON holds it.
    """
    return isinstance(value, dict) and isinstance(value.get("properties") or {}, dict)
