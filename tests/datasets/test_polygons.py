"""Polygons as labels: read, drawn, whole in one split; and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from hetlib.datasets import PolygonScene, class_counts, load_dataset
from hetlib.datasets.naming import check_dataset, data_name
from hetlib.datasets.splits import SPLITS
from hetlib.errors import DatasetNotFoundError

from .fields import CROPS, feature, scattered, square, write_geojson, write_geopackage
from .scenes import Options


@pytest.fixture
def given(scene: Options, tmp_path: Path) -> Options:
    path = write_geojson(tmp_path / "fields.geojson", scattered())
    return {
        "image": scene["image"],
        "polygons": path,
        "field": "crop",
        "window": 6,
        "cache": scene["cache"],
    }


def test_windows_lie_around_pixels_of_the_polygons(given: Options) -> None:
    seen = []
    for split in SPLITS:
        data = PolygonScene(split=split, **given)
        assert data.classes == CROPS
        assert min(class_counts(data).values()) > 0
        for (row, column), label, polygon in zip(
            data.centres, data.labels, data.polygons, strict=True
        ):
            assert CROPS[label] == CROPS[polygon % 7 % 3]
            first_row = 4 + 14 * (polygon // 10)
            first_column = 4 + 12 * (polygon % 10)
            size = 2 + polygon % 3
            assert first_row <= row < first_row + size
            assert first_column <= column < first_column + size
        value = data[0]["image"][0, 3, 3]
        row, column = data.centres[0]
        assert value == row * 120 + column
        seen.append(set(data.polygons.tolist()))
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]
    assert len(set.union(*seen)) == 40


def test_windows_of_two_splits_share_no_pixel(given: Options) -> None:
    close = [
        feature(square(2 + 5 * (i // 20), 3 + 5 * (i % 20), 3), crop=CROPS[i % 7 % 3])
        for i in range(200)
    ]
    write_geojson(given["polygons"], close)
    covered = []
    for split in SPLITS:
        pixels = np.zeros((60, 120), bool)
        for row, column in PolygonScene(split=split, **given).centres:
            pixels[row - 3 : row + 3, column - 3 : column + 3] = True
        covered.append(pixels)
    assert np.sum(covered, axis=0).max() == 1


@pytest.mark.parametrize("seed", range(5))
def test_every_seed_has_each_class_in_each_split(seed: int, given: Options) -> None:
    for split in SPLITS:
        data = PolygonScene(split=split, seed=seed, **given)
        assert set(data.labels.tolist()) == {0, 1, 2}


def test_a_class_in_too_few_polygons_is_named(given: Options) -> None:
    features = [*scattered(), feature(square(50, 50, 3), crop="hops")]
    write_geojson(given["polygons"], features)
    message = r"lacks 'hops' \(train \d, validation \d, test \d windows\)\. Leave such a class out"
    with pytest.raises(ValueError, match=message):
        PolygonScene(**given)
    assert PolygonScene(**given, classes=("rye", "beet")).classes == ("rye", "beet")
    with pytest.raises(ValueError, match=r"`classes` has \['oats'\]; .*'hops'"):
        PolygonScene(**given, classes=("rye", "oats"))


def test_later_polygons_are_drawn_over_earlier_ones_and_tiny_ones_are_kept(given: Options) -> None:
    features = [*scattered(), feature(square(5, 5, 1), crop="rye")]
    features.append(feature(square(10.1, 10.1, 0.2), crop="rye"))
    write_geojson(given["polygons"], features)
    found = np.concatenate([PolygonScene(split=split, **given).polygons for split in SPLITS])
    assert set(found.tolist()) == set(range(42))


def test_near_polygons_come_into_one_split_where_that_is_asked(given: Options) -> None:
    places: dict[tuple[int, int], set[str]] = {}
    for split in SPLITS:
        data = PolygonScene(split=split, block=24, fractions=(0.4, 0.3, 0.3), **given)
        for polygon in data.polygons.tolist():
            size = 2 + polygon % 3
            row = 4 + 14 * (polygon // 10) + (size - 1) / 2
            column = 4 + 12 * (polygon % 10) + (size - 1) / 2
            places.setdefault((int(row // 24), int(column // 24)), set()).add(split)
    assert all(len(splits) == 1 for splits in places.values())


def test_polygons_elsewhere(given: Options) -> None:
    write_geojson(given["polygons"], [feature(square(9000, 9000, 5), crop="rye")])
    with pytest.raises(ValueError, match=r"No polygon of .*fields\.geojson \(EPSG:4326\) is in "):
        PolygonScene(**given)


def test_a_scene_without_coordinate_system(given: Options, tmp_path: Path) -> None:
    with rasterio.open(given["image"]) as raster:
        profile = raster.profile | {"crs": None}
        pixels = raster.read()
    with rasterio.open(tmp_path / "nowhere.tif", "w", **profile) as out:
        out.write(pixels)
    with pytest.raises(ValueError, match=r"nowhere\.tif has no coordinate system.*rio edit-info"):
        PolygonScene(**given | {"image": tmp_path / "nowhere.tif"})


@pytest.mark.parametrize("crs", ["EPSG:999999", "mars", "EPSG:4326"])
def test_coordinates_that_have_no_place(crs: str, given: Options) -> None:
    path = given["polygons"]
    shape = {"type": "Polygon", "coordinates": [[[0, 500], [1, 500], [1, 501], [0, 500]]]}
    named = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps({"features": [feature(shape, crop="rye")], "crs": named}))
    with pytest.raises(ValueError, match=r"fields\.geojson: the coordinates of polygon 0, "):
        PolygonScene(**given)


def test_a_geopackage_is_the_geojson(given: Options, tmp_path: Path) -> None:
    packed = write_geopackage(tmp_path / "fields.gpkg", scattered())
    one = PolygonScene(**given)
    other = PolygonScene(**given | {"polygons": packed})
    assert np.array_equal(one.centres, other.centres)
    assert np.array_equal(one.labels, other.labels)
    assert torch.equal(one[0]["image"], other[0]["image"])


def test_changed_polygons_are_read_again(given: Options) -> None:
    before = PolygonScene(**given)
    features = scattered()
    features[0]["properties"]["crop"] = "rye"
    write_geojson(given["polygons"], features)
    after = PolygonScene(**given)
    assert after.checksum != before.checksum


@pytest.mark.parametrize(
    ("name", "kind"), [("image", "a GeoTIFF"), ("polygons", "a GeoJSON or GeoPackage")]
)
def test_a_file_that_is_not_there_is_asked_for_by_its_kind(
    name: str, kind: str, given: Options, tmp_path: Path
) -> None:
    missing = tmp_path / "nowhere"
    with pytest.raises(DatasetNotFoundError, match=f"no file {missing}; give the path of {kind}"):
        PolygonScene(**given | {name: missing})


def test_polygons_by_name(given: Options) -> None:
    named = load_dataset("polygons", "test", **given)
    assert isinstance(named, PolygonScene)
    assert np.array_equal(named.centres, PolygonScene(split="test", **given).centres)
    assert data_name("polygons", given) == "image"
    check_dataset("polygons", given | {"per_class": 50})
    with pytest.raises(ValueError, match="polygons"):
        check_dataset("polygons", {"image": given["image"]})
