"""Indian Pines: spectra and windows, components of the training pixels, splits apart."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from hetlib.datasets import IndianPines, load_dataset
from hetlib.datasets.catalog import DATA
from hetlib.datasets.indian_pines import LARGE
from hetlib.datasets.splits import SPLITS


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("window", [5, 9])
def test_windows_of_components(window: int, cache: Path) -> None:
    for split in SPLITS:
        data = load_dataset("indian_pines", split, window=window, cache=cache)
        assert data.image_shape == (30, window, window)
        assert data.classes == LARGE
        assert np.bincount(data.labels, minlength=12).min() > 0
    assert data.bands[:2] == ("PC1", "PC2")


def test_spectra_are_those_of_the_file(cache: Path) -> None:
    data = load_dataset("indian_pines", window=1, components=None, cache=cache)
    assert data.image_shape == (200, 1, 1)
    assert len(data) > 3000
    with rasterio.open(DATA / "indian_pines.tif") as raster:
        pixels = raster.read()
    row, column = data.centres[17]
    spectrum = data[17]["image"][:, 0, 0]
    assert torch.equal(spectrum, torch.from_numpy(pixels[:, row, column].astype(np.float32)))


@pytest.mark.parametrize("seed", range(4))
def test_every_seed_has_the_classes_in_each_split(seed: int, cache: Path) -> None:
    counts = []
    for split in SPLITS:
        for options in ({}, {"window": 1, "components": None}):
            data = IndianPines(split=split, **options, seed=seed, cache=cache)
            counts.append(np.bincount(data.labels, minlength=12))
    assert np.min(counts) >= 8


def test_components_are_fitted_on_training_pixels_alone(cache: Path, tmp_path: Path) -> None:
    train = IndianPines(components=5, cache=cache)
    with rasterio.open(DATA / "indian_pines.tif") as raster:
        pixels = raster.read()
        profile = raster.profile
        names = raster.descriptions
    rows, columns = train.centres.T
    spectra = pixels[:, rows, columns].T.astype(np.float64)
    centred = spectra - spectra.mean(0)
    _, _, right = np.linalg.svd(centred, full_matrices=False)
    assert np.abs(train.directions @ right[:5].T).round(4).tolist() == np.eye(5).tolist()

    # Any other pixels of test and validation: the same components.
    apart = np.ones(pixels.shape[1:], bool)
    apart[rows, columns] = False
    pixels[:, apart] = 0
    with rasterio.open(tmp_path / "indian_pines.tif", "w", **profile) as out:
        out.write(pixels)
        out.descriptions = names
    (tmp_path / "indian_pines_labels.tif").write_bytes(
        (DATA / "indian_pines_labels.tif").read_bytes()
    )
    other = IndianPines(tmp_path, components=5, cache=tmp_path / "cache")
    assert np.array_equal(other.directions, train.directions)
    assert other.checksum != train.checksum


def test_classes_that_cannot_be_in_each_split_are_named(cache: Path) -> None:
    message = "lacks 'alfalfa' .*'grass-pasture-mowed' .*'oats' .*Leave such a class out"
    with pytest.raises(ValueError, match=message):
        IndianPines(classes=None, cache=cache)


@pytest.mark.parametrize("components", [0, 201])
def test_number_of_components(components: int, cache: Path) -> None:
    with pytest.raises(
        ValueError, match=rf"`components` must be 1 to 200 or None, got {components}"
    ):
        IndianPines(components=components, cache=cache)


@pytest.mark.parametrize("components", [None, 30])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("block", value) for value in (0, 4, -1, "9", True)],
        *[("window", value) for value in (0, "5", 2.5)],
        *[("seed", value) for value in (-1, "a")],
        *[("stride", value) for value in (0, "1")],
    ],
)
def test_what_is_no_number_of_pixels_is_refused_by_name(
    components: int | None, name: str, value: object, cache: Path
) -> None:
    with pytest.raises(ValueError, match=f"`{name}` is .*; it must be a whole number"):
        IndianPines(components=components, cache=cache, **{name: value})


def test_components_are_a_whole_number(cache: Path) -> None:
    with pytest.raises(ValueError, match="`components` is '30'; it must be None or a whole number"):
        IndianPines(components="30", cache=cache)


def test_the_checksum_is_of_the_files(cache: Path) -> None:
    windows = load_dataset("indian_pines", cache=cache)
    assert windows.image_shape == (30, 5, 5)
    spectra = IndianPines(window=1, components=None, cache=cache)
    assert windows.checksum == spectra.checksum
