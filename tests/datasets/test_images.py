"""Every data set: its items, their batches, its bands, and copies of it."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from hetlib.datasets import LandCoverScene

from .scenes import Open, Options

ROOT = Path(__file__).resolve().parents[2]


def test_import_is_cheap() -> None:
    heavy = {"rasterio", "PIL", "torchvision", "matplotlib"}
    code = f"import sys, hetlib.datasets; print({heavy} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "set()"


def test_item(scene: Options) -> None:
    dataset = LandCoverScene(**scene)
    item = dataset[0]
    assert item["image"].shape == dataset.image_shape == (2, 6, 6)
    assert item["image"].dtype == torch.float32
    assert item["label"].shape == ()
    assert item["label"].dtype == torch.int64
    row, column = dataset.centres[0]
    assert item["image"][0, 3, 3] == row * 120 + column  # raw values, the centre pixel in its place


def test_transforms(scene: Options) -> None:
    dataset = LandCoverScene(**scene, transforms=lambda sample: sample | {"label": 7})
    assert dataset[0]["label"] == 7


def test_attributes(scene: Options) -> None:
    dataset = LandCoverScene(**scene, split="test")
    assert dataset.classes == ("water", "wood", "field")
    assert dataset.bands == ("red", "nir")
    assert len(dataset) == len(dataset.labels) == 150
    assert dataset.labels.dtype == np.int64
    assert len(dataset.checksum) == 64
    assert dataset.split == "test"


INDICES = ([3, 0, 3], [], np.array([5]), torch.arange(40))


@pytest.mark.parametrize("bands", [None, ("red",), ("nir",), ("nir", "red")])
@pytest.mark.parametrize("indices", INDICES)
def test_gather_is_the_items_standardised(scene: Options, bands: Any, indices: Any) -> None:
    dataset = LandCoverScene(**scene, bands=bands)
    images, labels = dataset.gather(indices)
    assert images.shape == (len(indices), *dataset.image_shape)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.dtype == torch.int64

    shape = (-1, 1, 1)
    mean = torch.from_numpy(dataset.mean).reshape(shape)
    std = torch.from_numpy(dataset.std).reshape(shape)
    for image, label, i in zip(images, labels, indices, strict=True):
        item = dataset[int(i)]
        expected = (item["image"] - mean) / std
        assert_close(image, expected, atol=1e-5, rtol=1e-5)
        assert label == item["label"]

    raw, _ = dataset.gather([0], standardise=False)
    assert_close(raw[0], dataset[0]["image"])


def test_index_beyond_the_end(open_tree: Open) -> None:
    assert open_tree()[-1]["label"] == 2
    with pytest.raises(IndexError):
        open_tree()[18]


def test_a_copy_maps_the_cache(scene: Options) -> None:
    dataset = LandCoverScene(**scene)
    content = pickle.dumps(dataset)
    assert len(content) < dataset._entry.arrays["images"].nbytes / 2

    copy = pickle.loads(content)
    assert isinstance(copy._entry.arrays["images"], np.memmap)
    images, _ = dataset.gather([1, 2])
    same, _ = copy.gather([1, 2])
    assert_close(same, images)


@pytest.mark.parametrize("bands", [("blue",), (), "red", ("red", "blue")])
def test_unknown_bands(scene: Options, bands: Any) -> None:
    with pytest.raises(ValueError, match=r"`bands` must be .*'red', 'nir'"):
        LandCoverScene(**scene, bands=bands)
