"""Maps against the network itself, against the reference, and as files that other programs open."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torch import nn

from hetlib.datasets import LandCoverScene
from hetlib.datasets.catalog import DATASETS, load_dataset
from hetlib.models.registry import build_model
from hetlib.training.evaluation import scores
from hetlib_bundle.figures import scenes as scene_figures
from hetlib_bundle.studies import maps

OPTIONS = {"per_class": 40}


@pytest.fixture(scope="module")
def scene() -> maps.Scene:
    return maps.open_scene("wake", **OPTIONS)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return build_model("smallcnn", bands=6, classes=7, size=16, seed=3)


@pytest.fixture(scope="module")
def coarse(scene: maps.Scene, network: nn.Module) -> np.ndarray:
    return maps.predict(network, load_dataset("wake", "train", **OPTIONS), scene, stride=5)


def test_pixels_get_what_the_network_says_of_their_windows(
    scene: maps.Scene, network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = load_dataset("wake", "test", **OPTIONS)
    only = np.full(scene.zones.shape, -1, np.int8)
    only[tuple(test.centres.T)] = 2  # the windows' centres alone, so that it is quick
    narrow = maps.Scene(**{**scene.__dict__, "zones": only})
    monkeypatch.setattr(maps, "BATCH", 50)  # more than one batch
    predicted = maps.predict(network, test, narrow)
    with torch.inference_mode():
        wanted = network.eval()(test.gather(np.arange(len(test)))[0]).argmax(1).numpy()
    assert (
        predicted[tuple(test.centres.T)].tolist() == np.array(list(scene.classes))[wanted].tolist()
    )
    assert (predicted > 0).sum() == len(np.unique(test.centres, axis=0))


def test_only_held_out_pixels_with_data_are_predicted(
    scene: maps.Scene, coarse: np.ndarray
) -> None:
    assert (coarse > 0).any()
    assert not coarse[scene.zones != 2].any()
    assert not coarse[~scene.valid.all(2)].any()
    for split in ("train", "validation"):
        rows, columns = load_dataset("wake", split, **OPTIONS).centres.T
        assert not coarse[rows, columns].any()


def test_a_stride_fills_squares_with_their_middle(
    scene: maps.Scene, network: nn.Module, coarse: np.ndarray
) -> None:
    row, column = (int(found[len(found) // 2]) // 5 * 5 for found in np.nonzero(coarse))
    square = coarse[row : row + 5, column : column + 5]
    assert len(np.unique(square[square > 0])) <= 1
    middle = np.full(scene.zones.shape, -1, np.int8)
    middle[2::5, 2::5] = scene.zones[2::5, 2::5]
    single = maps.Scene(**{**scene.__dict__, "zones": middle})
    fine = maps.predict(network, load_dataset("wake", "train", **OPTIONS), single)
    assert (fine[2::5, 2::5] == coarse[2::5, 2::5]).all()


def test_confusion_counts_pixels_with_reference_and_prediction(
    scene: maps.Scene, coarse: np.ndarray
) -> None:
    counts = maps.confusion(coarse, scene)
    both = (coarse > 0) & (scene.codes > 0)
    assert counts.sum() == both.sum()
    assert scores(counts)["oa"] == pytest.approx((coarse == scene.codes)[both].mean())
    perfect = maps.confusion(np.where(coarse > 0, scene.codes, 0).astype(np.uint8), scene)
    assert scores(perfect)["oa"] == 1


def test_the_file_has_the_scenes_grid_its_colours_and_names(
    scene: maps.Scene, coarse: np.ndarray, tmp_path: Path
) -> None:
    path = maps.write_map(tmp_path / "some" / "map.tif", coarse, scene, RUN="abc")
    with rasterio.open(DATASETS["wake"][1]["image"]) as source, rasterio.open(path) as found:
        assert (found.crs, found.transform, found.shape) == (
            source.crs,
            source.transform,
            source.shape,
        )
        assert found.colorinterp[0] == rasterio.enums.ColorInterp.palette
        assert found.nodata == 0
        colours = found.colormap(1)
        assert len({colours[number] for number in scene.classes}) == len(scene.classes)
        assert all(colours[number][3] == 255 for number in scene.classes)
        assert {
            f"CLASS_{number}": name for number, name in scene.classes.items()
        }.items() <= found.tags().items()
        assert found.tags()["RUN"] == "abc"
        assert (found.read(1) == coarse).all()


def test_a_map_can_be_a_reference(scene: maps.Scene, coarse: np.ndarray, tmp_path: Path) -> None:
    everywhere = np.where(scene.codes > 0, scene.codes, coarse).astype(np.uint8)
    path = maps.write_map(tmp_path / "map.tif", everywhere, scene)
    options = {"per_class": 5, "valid_range": (0, 255), "fractions": (0.5, 0.1, 0.4)}
    assert LandCoverScene(DATASETS["wake"][1]["image"], path, **options).classes == tuple(
        scene.classes.values()
    )


def test_wrong_arguments(scene: maps.Scene, network: nn.Module) -> None:
    with pytest.raises(ValueError, match="`dataset` is 'eurosat'; only scenes can become maps"):
        maps.open_scene("eurosat")
    with pytest.raises(ValueError, match="`stride` is 0; it must be 1 or more"):
        maps.predict(network, load_dataset("wake", "train", **OPTIONS), scene, stride=0)


def test_classes_without_a_colour_of_their_own_get_one() -> None:
    colours = maps.class_colours({1: "water", 2: "quarry", 3: "glacier"})
    assert len(set(colours.values())) == 4
    assert colours[0][3] == 0


def test_figures_are_two_columns_wide(scene: maps.Scene, coarse: np.ndarray) -> None:
    splits = {
        split: load_dataset("wake", split, **OPTIONS) for split in ("train", "validation", "test")
    }
    drawn = [
        scene_figures.land_cover_figure(scene, coarse),
        scene_figures.splits_figure([scene], [splits]),
        scene_figures.samples_figure({"wake": splits["train"]}, rows=1),
        scene_figures.spectra_figure({"wake": splits["train"]}, {"wake": "Digital number"}),
    ]
    assert {figure.get_figwidth() for figure in drawn} == {7.16}
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == list(
        scene.classes.values()
    )
