"""Polygons of a GeoPackage: an SQLite file with geometries in well-known binary."""

import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

# Kinds of geometry in well-known binary; those with heights have 1000 or the highest bit more.
POLYGON = 3
MULTIPOLYGON = 6

# Bytes of the envelope in a GeoPackage's geometry, by the three bits that say so.
ENVELOPES = (0, 32, 48, 48, 64)


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
