"""Polygons read from GeoJSON and GeoPackage, and files that are damaged or something else."""

import json
import sqlite3
import struct
from pathlib import Path
from typing import Any

import pytest

from hetlib.datasets.geopackage import geometry_at
from hetlib.datasets.vectors import read_polygons
from hetlib.errors import DatasetNotFoundError

from .fields import Ring, feature, polygon_blob, scattered, write_geopackage


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.geojson", "{", "is no GeoJSON with `features`"),
        ("a.geojson", '{"type": "Polygon"}', "is no GeoJSON with `features`"),
        ("a.geojson", "[1]", "is no GeoJSON with `features`"),
        ("a.geojson", '{"features": [3]}', "is no GeoJSON with `features`"),
        ("a.geojson", '{"features": []}', "no polygon with a `field` 'crop'; its fields are"),
        ("a.geojson", '{"features": [{"properties": [1]}]}', "no object with properties"),
        ("a.geojson", "[" * 100_000, "is no GeoJSON with `features`"),
        ("a.gpkg", "no database", "is no GeoPackage"),
        ("a.shp", "", r"must be GeoJSON .* or GeoPackage .*ogr2ogr"),
    ],
)
def test_damaged_files(name: str, content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_polygons(path, "crop")


def test_features_that_are_no_polygons(tmp_path: Path) -> None:
    point = {"type": "Point", "coordinates": [0, 0]}
    path = tmp_path / "points.geojson"
    path.write_text(json.dumps({"features": [feature(point, crop="rye")]}))
    with pytest.raises(ValueError, match="feature 1 is a Point, no polygon"):
        read_polygons(path, "crop")
    with pytest.raises(ValueError, match=r"no polygon with a `field` 'class'.*\['crop'\]"):
        read_polygons(path, "class")
    with pytest.raises(DatasetNotFoundError, match=r"There is no file .*none\.geojson"):
        read_polygons(tmp_path / "none.geojson", "crop")


@pytest.mark.parametrize(
    "coordinates", ["x", [], [[[0, 0], [1, 1]]], [[[0, 0], [1, 1], [0, float("nan")], [0, 0]]], 3]
)
def test_damaged_polygons(coordinates: Any, tmp_path: Path) -> None:
    path = tmp_path / "fields.geojson"
    shape = {"type": "Polygon", "coordinates": coordinates}
    path.write_text(json.dumps({"features": [feature(shape, crop="rye")]}))
    with pytest.raises(ValueError, match=r"fields\.geojson: feature 1 has no rings of 4 or more"):
        read_polygons(path, "crop")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("heights", [False, True])
def test_well_known_binary(order: str, heights: bool) -> None:
    outer: Ring = [(0, 0), (9, 0), (9, 9), (0, 0)]
    hole: Ring = [(5, 4), (6, 4), (6, 5), (5, 4)]
    blob = polygon_blob([outer, hole], order, heights)
    shape, end = geometry_at(blob, 0)
    assert shape["coordinates"] == [[list(point) for point in ring] for ring in (outer, hole)]
    assert end == len(blob)
    several = struct.pack(f"{order}BII", int(order == "<"), 6, 2) + blob + blob
    both, end = geometry_at(several, 0)
    assert both["coordinates"] == [shape["coordinates"]] * 2
    assert end == len(several)


def test_damaged_geopackages(tmp_path: Path) -> None:
    path = write_geopackage(tmp_path / "fields.gpkg", scattered())
    database = sqlite3.connect(path)
    database.execute("UPDATE fields SET geom = substr(geom, 1, 40)")
    database.commit()
    with pytest.raises(ValueError, match=r"fields\.gpkg is no GeoPackage"):
        read_polygons(path, "crop")
    database.execute("DELETE FROM gpkg_spatial_ref_sys")
    database.execute("UPDATE fields SET geom = NULL")
    database.commit()
    with pytest.raises(ValueError, match=r"fields\.gpkg is no GeoPackage"):
        read_polygons(path, "crop")
    database.execute("INSERT INTO gpkg_geometry_columns VALUES ('more', 'geom', 1)")
    database.commit()
    database.close()
    with pytest.raises(ValueError, match=r"must hold one layer, got \['fields', 'more'\]"):
        read_polygons(path, "crop")
