"""Statistics: of the training split, and of valid pixels alone."""

import numpy as np
import pytest
import rasterio
import torch
from torch.testing import assert_close

from hetlib.datasets import LandCoverScene, statistics

from .scenes import Options, write_tif


def test_statistics_are_those_of_training(scene: Options) -> None:
    train = LandCoverScene(**scene)
    test = LandCoverScene(**scene, split="test")
    items = [train[i] for i in range(len(train))]
    images = torch.stack([item["image"] for item in items]).double()
    mean = images.mean((0, 2, 3))
    std = images.std((0, 2, 3), correction=0)
    for dataset in (train, test):
        assert dataset.mean.dtype == dataset.std.dtype == np.float32
        np.testing.assert_allclose(dataset.mean, mean, rtol=1e-6)
        np.testing.assert_allclose(dataset.std, std, rtol=1e-6)


def test_pixels_without_data_become_the_mean(scene: Options) -> None:
    with rasterio.open(scene["image"]) as raster:
        pixels = raster.read().astype(np.int16)
    pixels[0, ::7] = -1  # nodata
    pixels[1, :, ::5] = 9999  # out of range
    write_tif(scene["image"], pixels, ("red", "nir"), nodata=-1)

    dataset = LandCoverScene(**scene, valid_range=(0, 9000))
    standardised, _ = dataset.gather(range(60))
    filled, _ = dataset.gather(range(60), standardise=False)
    raw = torch.from_numpy(pixels)
    for k, (row, column) in enumerate(dataset.centres[:60]):
        image = filled[k]
        window = raw[:, row - 3 : row + 3, column - 3 : column + 3]
        bad = (window < 0) | (window > 9000)
        assert not bad[:, 3, 3].any()
        assert (standardised[k][bad] == 0).all()
        assert_close(image[~bad], window[~bad].float())
        means = image[0][bad[0]]
        assert_close(means, torch.full_like(means, float(dataset.mean[0])))
        assert_close(dataset[k]["image"], image)
    assert dataset.mean.max() < 9000


def test_moments_do_not_depend_on_how_many_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (3, 20, 20, 2)).astype(np.uint8)
    gaps = pixels < 50
    whole = statistics.moments(pixels, gaps)
    monkeypatch.setattr(statistics, "PIXELS_AT_A_TIME", 7)
    np.testing.assert_allclose(statistics.moments(pixels, gaps), whole)
