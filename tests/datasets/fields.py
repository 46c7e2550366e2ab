"""Polygons with a crop, as files, for the tests of data sets."""

import json
import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rasterio.warp import transform_geom

from .scenes import UTM

CROPS = ("beet", "maize", "rye")
Ring = list[tuple[float, float]]


def square(row: float, column: float, size: float) -> dict[str, Any]:
    """A square of pixels of 10 m, in metres."""
    left = 10 * column
    top = -10 * row
    right = left + 10 * size
    bottom = top - 10 * size
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return {"type": "Polygon", "coordinates": [ring]}


def feature(shape: dict[str, Any] | None, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": shape, "properties": properties}


def write_geojson(path: Path, features: Sequence[dict[str, Any]]) -> Path:
    """Write features given in metres of the scene, as longitude and latitude."""
    for one in features:
        if one["geometry"] is not None:
            one["geometry"] = transform_geom(UTM, "EPSG:4326", one["geometry"], precision=12)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def scattered() -> list[dict[str, Any]]:
    """Forty small squares, 12 pixels apart, in turn of three classes."""
    features = []
    for i in range(40):
        row = 4 + 14 * (i // 10)
        column = 4 + 12 * (i % 10)
        features.append(feature(square(row, column, 2 + i % 3), crop=CROPS[i % 7 % 3]))
    return features


def polygon_blob(rings: Sequence[Ring], order: str = "<", heights: bool = False) -> bytes:
    """A polygon in well-known binary."""
    kind = 1003 if heights else 3
    out = struct.pack(f"{order}BII", int(order == "<"), kind, len(rings))
    for ring in rings:
        out += struct.pack(f"{order}I", len(ring))
        for x, y in ring:
            numbers = (x, y, 7.0) if heights else (x, y)
            out += struct.pack(f"{order}{len(numbers)}d", *numbers)
    return out


def write_geopackage(path: Path, features: Sequence[dict[str, Any]]) -> Path:
    """Write polygons given in metres of the scene, with the tables that are read."""
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE gpkg_geometry_columns (table_name, column_name, srs_id)")
    database.execute(
        "CREATE TABLE gpkg_spatial_ref_sys"
        " (srs_id, organization, organization_coordsys_id, definition)"
    )
    database.execute("INSERT INTO gpkg_geometry_columns VALUES ('fields', 'geom', 32633)")
    database.execute("INSERT INTO gpkg_spatial_ref_sys VALUES (32633, 'EPSG', 32633, '')")
    database.execute("CREATE TABLE fields (fid INTEGER PRIMARY KEY, geom BLOB, crop TEXT)")
    for one in features:
        (ring,) = one["geometry"]["coordinates"]
        blob = b"GP\0\x01" + struct.pack("<i", 32633) + polygon_blob([ring])
        crop = one["properties"]["crop"]
        database.execute("INSERT INTO fields (geom, crop) VALUES (?, ?)", (blob, crop))
    database.commit()
    database.close()
    return path
