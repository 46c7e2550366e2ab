"""Maps against the network itself, against the reference, and as files that other programs open."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from torch import nn

from hetlib.datasets import DATASETS, ImageDataset, LandCoverScene, load_dataset
from hetlib.datasets.splits import SPLITS
from hetlib.models import build_model
from hetlib.training.evaluation import scores
from hetlib_bundle import figures
from hetlib_bundle.figures.maps import metres_of_pixel, round_length
from hetlib_bundle.studies import maps, prediction

OPTIONS = {"per_class": 40}
IMAGE = DATASETS["wake"].settings["image"]


@pytest.fixture(scope="module")
def scene() -> maps.Scene:
    return maps.open_scene("wake", **OPTIONS)


@pytest.fixture(scope="module")
def training() -> ImageDataset:
    return load_dataset("wake", "train", **OPTIONS)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return build_model("smallcnn", bands=6, classes=7, size=16, seed=3)


@pytest.fixture(scope="module")
def coarse(
    scene: maps.Scene,
    network: nn.Module,
    training: ImageDataset,
) -> np.ndarray:
    """The map of every fifth pixel."""
    return prediction.predict(network, training, scene, stride=5)


@pytest.mark.parametrize(
    "options",
    [
        {"split_by": "blocks", "classes": ("developed", "forest")},
        {"split_by": "blocks", "block": 40, "classes": ("developed", "forest")},
        {"split_by": "stratified"},
        {"split_by": "stratified", "block": 50, "stride": 3, "seed": 4},
    ],
)
def test_a_map_has_the_splits_of_its_data_set(options: dict[str, Any]) -> None:
    given = OPTIONS | options
    zones = maps.open_scene("wake", **given).zones
    for position, split in enumerate(SPLITS):
        rows, columns = load_dataset("wake", split, **given).centres.T
        assert (zones[rows, columns] == position).all()


def test_pixels_get_what_the_network_says_of_their_windows(
    scene: maps.Scene,
    network: nn.Module,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    test = load_dataset("wake", "test", **OPTIONS)
    centres = tuple(test.centres.T)
    only = np.full(scene.zones.shape, -1, np.int8)
    only[centres] = 2  # the windows' centres alone, so that it is quick
    small = dataclasses.replace(scene, zones=only)
    monkeypatch.setattr(prediction, "BATCH", 50)  # more than one batch
    predicted = prediction.predict(network, test, small)
    images, _ = test.gather(np.arange(len(test)))
    with torch.inference_mode():
        outputs = network.eval()(images)
    wanted = outputs.argmax(1).numpy()
    numbers = np.array(list(scene.classes))
    assert predicted[centres].tolist() == numbers[wanted].tolist()
    different = np.unique(test.centres, axis=0)
    assert (predicted > 0).sum() == len(different)


def test_only_held_out_pixels_with_data_are_predicted(
    scene: maps.Scene, coarse: np.ndarray
) -> None:
    assert (coarse > 0).any()
    elsewhere = scene.zones != 2
    assert not coarse[elsewhere].any()
    without_data = ~scene.valid.all(2)
    assert not coarse[without_data].any()
    for split in ("train", "validation"):
        data = load_dataset("wake", split, **OPTIONS)
        rows, columns = data.centres.T
        assert not coarse[rows, columns].any()


def test_a_stride_fills_squares_with_their_middle(
    scene: maps.Scene,
    network: nn.Module,
    training: ImageDataset,
    coarse: np.ndarray,
) -> None:
    rows, columns = np.nonzero(coarse)
    row = rows[len(rows) // 2] // 5 * 5
    column = columns[len(columns) // 2] // 5 * 5
    square = coarse[row : row + 5, column : column + 5]
    assert len(np.unique(square[square > 0])) <= 1
    middles = slice(2, None, 5)
    middle = np.full(scene.zones.shape, -1, np.int8)
    middle[middles, middles] = scene.zones[middles, middles]
    single = dataclasses.replace(scene, zones=middle)
    fine = prediction.predict(network, training, single)
    assert (fine[middles, middles] == coarse[middles, middles]).all()


def test_confusion_counts_pixels_with_reference_and_prediction(
    scene: maps.Scene, coarse: np.ndarray
) -> None:
    counts = prediction.confusion(coarse, scene)
    both = (coarse > 0) & (scene.codes > 0)
    right = (coarse == scene.codes)[both]
    assert counts.sum() == both.sum()
    assert scores(counts)["oa"] == pytest.approx(right.mean())
    true = np.where(coarse > 0, scene.codes, 0).astype(np.uint8)
    assert scores(prediction.confusion(true, scene))["oa"] == 1


def test_mistakes_are_what_is_drawn_as_something_else(scene: maps.Scene) -> None:
    forest, water = (
        next(number for number, name in scene.classes.items() if name == wanted)
        for wanted in ("forest", "water")
    )
    drawn = scene.codes.astype(np.int64)
    rows, columns = np.nonzero(drawn == forest)
    half = len(rows) // 2
    drawn[rows[:half], columns[:half]] = water
    found = prediction.mistakes(drawn, scene)
    assert found.to_dict("records") == [
        {"true": "forest", "drawn": "water", "pixels": half, "part": half / len(rows)}
    ]
    assert not len(prediction.mistakes(scene.codes.astype(np.int64), scene))


def test_the_file_has_the_scenes_grid_its_colours_and_names(
    scene: maps.Scene, coarse: np.ndarray, tmp_path: Path
) -> None:
    path = maps.write_map(tmp_path / "some" / "map.tif", coarse, scene, RUN="abc")
    names = {f"CLASS_{number}": name for number, name in scene.classes.items()}
    with rasterio.open(IMAGE) as source, rasterio.open(path) as found:
        assert found.crs == source.crs
        assert found.transform == source.transform
        assert found.shape == source.shape
        assert found.colorinterp[0] == rasterio.enums.ColorInterp.palette
        assert found.nodata == 0
        table = found.colormap(1)
        colours = [table[number] for number in scene.classes]
        assert len(set(colours)) == len(scene.classes)
        assert all(colour[3] == 255 for colour in colours)
        assert names.items() <= found.tags().items()
        assert found.tags()["RUN"] == "abc"
        assert (found.read(1) == coarse).all()


def test_a_map_can_be_a_reference(
    scene: maps.Scene,
    coarse: np.ndarray,
    tmp_path: Path,
) -> None:
    everywhere = np.where(scene.codes > 0, scene.codes, coarse).astype(np.uint8)
    path = maps.write_map(tmp_path / "map.tif", everywhere, scene)
    read = LandCoverScene(
        IMAGE,
        path,
        per_class=5,
        valid_range=(0, 255),
        fractions=(0.5, 0.1, 0.4),
    )
    assert read.classes == tuple(scene.classes.values())


def test_wrong_arguments(
    scene: maps.Scene,
    network: nn.Module,
    training: ImageDataset,
) -> None:
    with pytest.raises(ValueError, match="`dataset` is 'eurosat'; only scenes can become maps"):
        maps.open_scene("eurosat")
    with pytest.raises(ValueError, match="`stride` is 0; it must be 1 or more"):
        prediction.predict(network, training, scene, stride=0)


def test_classes_without_a_colour_of_their_own_get_one() -> None:
    colours = maps.class_colours({1: "water", 2: "quarry", 3: "glacier"})
    assert len(set(colours.values())) == 4
    assert colours[0][3] == 0


def test_figures_are_two_columns_wide(scene: maps.Scene, coarse: np.ndarray) -> None:
    splits = {split: load_dataset("wake", split, **OPTIONS) for split in SPLITS}
    training = {"wake": splits["train"]}
    land_cover = figures.land_cover_figure(scene, coarse)
    drawn = [
        land_cover,
        figures.splits_figure([scene], [splits]),
        figures.samples_figure(training, rows=1),
        figures.spectra_figure(training, {"wake": "Digital number"}),
    ]
    assert {figure.get_figwidth() for figure in drawn} == {7.16}
    labels = [text.get_text() for text in land_cover.legends[0].get_texts()]
    assert labels == [*scene.classes.values(), "none"]
    (bar,) = [part for part in land_cover.axes[0].artists if isinstance(part, AnchoredSizeBar)]
    assert bar.txt_label.get_text().endswith("m")


def test_a_bar_has_a_round_length_on_the_ground(scene: maps.Scene) -> None:
    assert metres_of_pixel(scene.grid) == 28.5  # as the file says
    degrees = {**scene.grid, "crs": rasterio.CRS.from_epsg(4326)}
    assert metres_of_pixel(degrees) is None
    assert metres_of_pixel({"crs": None}) is None
    lengths = [round_length(most) for most in (1.0, 1.9, 2.0, 4990.0, 730.0, 0.3)]
    assert lengths == pytest.approx([1, 1, 2, 2000, 500, 0.2])
