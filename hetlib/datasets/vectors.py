"""Polygons with a class, read from GeoJSON and GeoPackage without a further package."""

import json
import math
import sqlite3
import struct
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from hetlib.datasets.types import File
from hetlib.errors import DatasetNotFoundError

GEOJSON = (".geojson", ".json")
GEOPACKAGE = (".gpkg",)

# Coordinates of GeoJSON, where the file does not say otherwise (RFC 7946).
LONGITUDE_LATITUDE = "EPSG:4326"

# Kinds of geometry in well-known binary; those with heights have 1000 or the highest bit more.
POLYGON = 3
MULTIPOLYGON = 6
SURFACES = {"Polygon", "MultiPolygon"}

# Points of a ring, of which the last is the first.
LEAST_POINTS = 4

# Bytes of the envelope in a GeoPackage's geometry, by the three bits that say so.
ENVELOPES = (0, 32, 48, 48, 64)


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


def read_geopackage(file: Path) -> tuple[list[dict[str, Any]], str]:
    """Return the features of a GeoPackage's only layer, and their coordinate system.

    Args:
        file: Its path.

    Raises:
        ValueError: It is damaged, or holds no or several layers.
    """
    address = f"{file.resolve().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True)) as database:
            layers = database.execute(
                "SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns"
            ).fetchall()
            if len(layers) != 1:
                names = [layer[0] for layer in layers]
                raise ValueError(f"{file} must hold one layer, got {names}; write one by itself.")
            table, column, system = layers[0]
            rows = database.execute(f'SELECT * FROM "{table}"')
            fields = [description[0] for description in rows.description]
            features = [feature_of(dict(zip(fields, row, strict=True)), column) for row in rows]
            crs = system_of(database, system)
    except (sqlite3.Error, struct.error, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is no GeoPackage ({error}); write it again.") from error
    return features, crs


def system_of(database: sqlite3.Connection, number: int) -> str:
    """Return a coordinate system of a GeoPackage, as rasterio takes it.

    Args:
        database: The opened file.
        number: Of the system in the file.
    """
    query = (
        "SELECT organization, organization_coordsys_id, definition "
        "FROM gpkg_spatial_ref_sys WHERE srs_id = ?"
    )
    organization, code, definition = database.execute(query, (number,)).fetchone()
    if organization.upper() == "EPSG":
        return f"EPSG:{code}"
    return definition


def feature_of(row: dict[str, Any], column: str) -> dict[str, Any]:
    """Return a row of a GeoPackage as GeoJSON has it.

    Args:
        row: Its values by field.
        column: The field of the geometry.
    """
    blob = row.pop(column)
    geometry = None
    if blob is not None:
        start = 8 + ENVELOPES[blob[3] >> 1 & 7]
        geometry, _ = geometry_at(blob, start)
    return {"geometry": geometry, "properties": row}


def geometry_at(blob: bytes, start: int) -> tuple[dict[str, Any], int]:
    """Read a geometry in well-known binary.

    Args:
        blob: Holds it.
        start: Where it begins.

    Returns:
        The geometry as GeoJSON has it, without heights; of another kind than polygons its type
        alone. And where it ends.
    """
    order = "<" if blob[start] else ">"
    (code,) = struct.unpack_from(f"{order}I", blob, start + 1)
    kind = (code & 0xFFFF) % 1000
    numbers = 2 + numbers_more(code)
    place = start + 5
    if kind not in (POLYGON, MULTIPOLYGON):
        return {"type": f"geometry of kind {kind}"}, place

    (count,) = struct.unpack_from(f"{order}I", blob, place)
    place += 4
    parts = []
    for _ in range(count):
        if kind == MULTIPOLYGON:
            part, place = geometry_at(blob, place)
            parts.append(part["coordinates"])
        else:
            ring, place = ring_at(blob, place, order, numbers)
            parts.append(ring)
    name = "MultiPolygon" if kind == MULTIPOLYGON else "Polygon"
    return {"type": name, "coordinates": parts}, place


def numbers_more(code: int) -> int:
    """Return how many numbers a point has besides x and y.

    Args:
        code: Of a geometry's kind, of ISO (1000 height, 2000 measure, 3000 both) or with high bits.
    """
    thousands = (code & 0xFFFF) // 1000
    iso = (0, 1, 1, 2)[thousands]
    bits = (code >> 31 & 1) + (code >> 30 & 1)
    return max(iso, bits)


def ring_at(blob: bytes, place: int, order: str, numbers: int) -> tuple[list[list[float]], int]:
    """Read a ring of points.

    Args:
        blob: Holds it.
        place: Where it begins.
        order: Of bytes, as `struct` has it.
        numbers: Of a point.

    Returns:
        Its points' x and y, and where it ends.
    """
    (count,) = struct.unpack_from(f"{order}I", blob, place)
    values = struct.unpack_from(f"{order}{count * numbers}d", blob, place + 4)
    points = [list(values[i : i + 2]) for i in range(0, len(values), numbers)]
    return points, place + 4 + 8 * len(values)
