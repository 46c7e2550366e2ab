"""Maps of whole scenes: to the rim, by windows of the file, with what says where they come from."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torch import nn

import hetlib
from hetlib.datasets import LandCoverScene, load_dataset
from hetlib.environment import version
from hetlib.errors import DatasetNotFoundError
from hetlib.mapping import predict
from hetlib.mapping.tiles import around, columns_of, middles

from ..datasets.scenes import TEN_METRES, UTM, write_tif

HEIGHT = 70
WIDTH = 90
NAMES = ("blue", "green", "red", "nir", "swir1", "swir2")
CODES = {3: "meadow", 7: "quarry"}
TAGS = {f"CLASS_{number}": name for number, name in CODES.items()}


class Brightest(nn.Module):
    """Says the second class where the window's centre is brighter than the mean in band nir."""

    def __init__(self, band=3):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.band = band

    def forward(self, images):
        row, column = images.shape[2] // 2, images.shape[3] // 2
        value = self.scale * images[:, self.band, row, column]
        return torch.stack([-value, value], dim=1)


def write_scene(folder: Path, name: str = "vienna", **options) -> tuple[Path, Path, np.ndarray]:
    """A scene of six bands whose fourth tells the class; the class numbers of all pixels."""
    rng = np.random.default_rng(0)
    truth = np.where(np.indices((HEIGHT, WIDTH)).sum(0) // 9 % 2, 7, 3).astype(np.uint8)
    pixels = rng.integers(100, 200, (6, HEIGHT, WIDTH)).astype(np.int16)
    pixels[3] += 400 * (truth == 7)
    image = write_tif(folder / f"{name}.tif", pixels, NAMES, **options)
    sparse = np.where(rng.random(truth.shape) < 0.5, truth, 0)
    labels = write_tif(folder / f"{name}_labels.tif", sparse[None], tags=TAGS, nodata=0)
    return image, labels, truth


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Path, LandCoverScene, np.ndarray]:
    image, labels, truth = write_scene(tmp_path)
    data = LandCoverScene(image, labels, "train", window=8, per_class=60, cache=tmp_path / "cache")
    return image, data, truth


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as raster:
        return raster.read(1)


def test_the_whole_scene_to_its_rim(scene, tmp_path, monkeypatch):
    image, data, truth = scene
    out = hetlib.predict_map(Brightest(), image, tmp_path / "maps" / "map.tif", data=data)
    assert np.array_equal(read(out), truth)
    monkeypatch.setattr(predict, "TILE_VALUES", 6 * 17 * 17)
    monkeypatch.setattr(predict, "MOST_WINDOWS", 50)
    small = hetlib.predict_map(Brightest(), image, tmp_path / "tiles.tif", data=data)
    assert np.array_equal(read(small), truth)
    coarse = read(hetlib.predict_map(Brightest(), image, tmp_path / "c.tif", data=data, stride=3))
    assert np.array_equal(coarse[1::3, 1::3], truth[1::3, 1::3])
    assert np.array_equal(coarse[:3, :3], np.full((3, 3), truth[1, 1]))
    assert coarse.min() == 3


def test_a_record_becomes_the_map_of_another_scene_without_labels(tmp_path):
    image, labels, _ = write_scene(tmp_path)
    experiment = hetlib.Experiment(
        dataset="scene",
        dataset_options={"image": image, "labels": labels, "per_class": 100},
        epochs=10,
        global_batch=20,
    )
    replicas = hetlib.VirtualReplicas(hetlib.Platform.emulated([1, 4]))
    record = hetlib.train(experiment, replicas, keep_weights=True)
    (tmp_path / "other").mkdir()
    other, unused, truth = write_scene(tmp_path / "other", "graz")
    unused.unlink()
    out = hetlib.predict_map(record, other, tmp_path / "graz_map.tif")
    with rasterio.open(out) as raster:
        found = raster.read(1)
        tags = raster.tags()
        assert raster.crs == UTM
        assert raster.transform == TEN_METRES
        assert raster.nodata == 0
        assert raster.descriptions == ("land cover of graz, predicted by smallcnn",)
        assert raster.colormap(1)[3] == (156, 204, 101, 255)
    assert (found == truth).mean() > 0.8
    assert tags["CLASS_3"] == "meadow"
    assert tags["CLASS_7"] == "quarry"
    assert tags["TRAINED_ON"] == record.data_name == "vienna"
    assert tags["TRAINED_ON_SHA256"] == record.dataset["checksum"]
    assert tags["RUN"] == record.fingerprint
    assert tags["IMAGE"] == "graz.tif"
    assert tags["TIFFTAG_SOFTWARE"] == f"hetlib {version()}"
    assert tags["TIFFTAG_DATETIME"][:2] == "20"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]

    again = LandCoverScene(other, out, "train", window=8, cache=tmp_path / "cache")
    assert again.classes == ("meadow", "quarry")  # a map is a reference, too


def test_a_record_without_weights_or_with_other_data_is_refused(tmp_path):
    image, labels, _ = write_scene(tmp_path)
    options = {"image": image, "labels": labels, "per_class": 10}
    experiment = hetlib.Experiment(dataset="scene", dataset_options=options, max_steps=1)
    replicas = hetlib.VirtualReplicas(hetlib.Platform.emulated([1, 4]))
    record = hetlib.train(experiment, replicas, keep_weights=True)
    record.dataset["checksum"] = "0"
    with pytest.raises(ValueError, match="they have changed since"):
        hetlib.predict_map(record, image, tmp_path / "m.tif")
    record.weights = None
    with pytest.raises(ValueError, match="keep_weights=True"):
        hetlib.predict_map(record, image, tmp_path / "m.tif")


def test_what_is_no_data_stays_empty(scene, tmp_path):
    _, data, truth = scene
    with rasterio.open(tmp_path / "vienna.tif") as raster:
        pixels = raster.read()
    pixels[2, 10:14, :5] = -99
    pixels[:, 40, 40] = -99
    holes = write_tif(tmp_path / "holes.tif", pixels, NAMES, nodata=-99)
    found = read(hetlib.predict_map(Brightest(), holes, tmp_path / "m.tif", data=data))
    expected = truth.copy()
    expected[10:14, :5] = 0
    expected[40, 40] = 0
    assert np.array_equal(found, expected)


def test_bands_are_found_by_name_by_order_or_by_what_the_caller_says(scene, tmp_path):
    image, data, truth = scene
    with rasterio.open(image) as raster:
        pixels = raster.read()
    turned = write_tif(tmp_path / "turned.tif", pixels[::-1], NAMES[::-1])
    found = read(hetlib.predict_map(Brightest(), turned, tmp_path / "a.tif", data=data))
    assert np.array_equal(found, truth)
    unnamed = write_tif(tmp_path / "unnamed.tif", pixels)
    found = read(hetlib.predict_map(Brightest(), unnamed, tmp_path / "b.tif", data=data))
    assert np.array_equal(found, truth)
    others = ("B02", "B03", "B04", "B08", "B11", "B12")
    odd = write_tif(tmp_path / "odd.tif", pixels, others)
    with pytest.raises(ValueError, match=r"odd\.tif has the bands .*`bands=`"):
        hetlib.predict_map(Brightest(), odd, tmp_path / "c.tif", data=data)
    out = hetlib.predict_map(Brightest(), odd, tmp_path / "c.tif", data=data, bands=others)
    assert np.array_equal(read(out), truth)
    few = write_tif(tmp_path / "few.tif", pixels[:3], NAMES[:3])
    with pytest.raises(ValueError, match=r"few\.tif has the bands"):
        hetlib.predict_map(Brightest(), few, tmp_path / "d.tif", data=data)
    assert not (tmp_path / "d.tif").exists()


def test_class_0_is_a_class_and_then_another_number_is_none(scene, tmp_path):
    image, data, truth = scene
    out = hetlib.predict_map(
        Brightest(), image, tmp_path / "m.tif", data=data, classes={0: "bare", 1: "green"}
    )
    with rasterio.open(out) as raster:
        assert raster.nodata == 255
        assert np.array_equal(raster.read(1), truth == 7)
    far = {70_000: "a", -1: "b"}
    out = hetlib.predict_map(Brightest(), image, tmp_path / "n.tif", data=data, classes=far)
    assert set(np.unique(read(out))) == set(far)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (3, 5), (8, 8)])
def test_scenes_smaller_than_a_window(scene, tmp_path, size):
    _, data, _ = scene
    image = write_tif(tmp_path / "tiny.tif", np.full((6, *size), 150, np.int16), NAMES)
    found = read(hetlib.predict_map(Brightest(), image, tmp_path / "m.tif", data=data))
    assert np.array_equal(found, np.full(size, 3))


def test_windows_at_the_rim_are_reflected():
    assert around(slice(0, 3), 4, 10).tolist() == [2, 1, 0, 1, 2, 3]
    assert around(slice(8, 10), 4, 10).tolist() == [6, 7, 8, 9, 8]
    assert np.array_equal(around(slice(0, 2), 9, 2), np.pad([0, 1], 4, mode="reflect"))
    assert middles(slice(0, 7), 3).tolist() == [1, 4, 6]


def test_a_large_scene_is_read_by_windows(tmp_path, scene, monkeypatch):
    """No part that is read is larger than a tile and its rim."""
    _, data, _ = scene
    pixels = np.full((6, 700, 900), 150, np.int16)
    image = write_tif(tmp_path / "large.tif", pixels, NAMES, tiled=True)
    monkeypatch.setattr(predict, "TILE_VALUES", 6 * 200 * 200)
    largest = []
    read_values = predict.read_values

    def watched(raster, bands, window):
        largest.append(window.height * window.width)
        return read_values(raster, bands, window)

    monkeypatch.setattr(predict, "read_values", watched)
    out = hetlib.predict_map(Brightest(), image, tmp_path / "m.tif", data=data, stride=10)
    assert read(out).shape == (700, 900)
    assert len(largest) == 4 * 5
    assert max(largest) <= 208**2


def test_transforms_of_the_data_are_applied(scene, tmp_path):
    image, _, truth = scene

    def inverted(sample):
        return {"image": -sample["image"], "label": sample["label"]}

    labels = tmp_path / "vienna_labels.tif"
    cache = tmp_path / "cache"
    data = LandCoverScene(image, labels, window=8, cache=cache, transforms=inverted)
    found = read(hetlib.predict_map(Brightest(), image, tmp_path / "m.tif", data=data))
    assert np.array_equal(found, np.full_like(truth, 3))  # all far below the mean


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": None}, "`data` is None"),
        ({"network": "smallcnn"}, "`network` is str"),
        ({"image": "none.tif"}, "There is no file none.tif"),
        ({"stride": 0}, "`stride` is 0"),
        ({"classes": {1: "a"}}, "`classes` has 1 names"),
        ({"bands": ("red",)}, "`bands` is .*6 names"),
        (
            {"network": nn.Sequential(nn.Flatten(), nn.Linear(384, 3))},
            r"`network` turns .*\(.*, 3\)",
        ),
    ],
)
def test_wrong_arguments_are_named(scene, tmp_path, changes, message):
    image, data, _ = scene
    given = {"network": Brightest(), "image": image, "out": tmp_path / "m.tif", "data": data}
    with pytest.raises((ValueError, DatasetNotFoundError), match=message):
        hetlib.predict_map(**(given | changes))
    assert not (tmp_path / "m.tif").exists()


def test_the_scene_itself_is_not_written_over(scene):
    image, data, _ = scene
    with pytest.raises(ValueError, match=r"`out` is .*the scene itself"):
        hetlib.predict_map(Brightest(), image, image, data=data)


def test_names_of_bands_in_parts():
    assert columns_of(("a", "b", "c"), ("c", "a"), None, "x") == [2, 0]
    assert columns_of(("1", "2"), ("red", "nir"), None, "x") == [0, 1]


def test_a_network_of_one_scene_maps_another_of_the_same_bands(scene, tmp_path):
    image, _, _ = scene
    wake = load_dataset("wake", per_class=5, cache=tmp_path / "cache")
    with rasterio.open(image) as raster:
        pixels = raster.read()
    scene = write_tif(tmp_path / "six.tif", pixels % 250, wake.bands)
    network = nn.Sequential(nn.Flatten(), nn.Linear(6 * 256, len(wake.classes)))
    out = hetlib.predict_map(network, scene, tmp_path / "m.tif", data=wake)
    assert read(out).min() >= 1
