"""A small scene and a small tree of images, and what opens them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hetlib.datasets import SceneFolder

from .scenes import Open, Options, write_tif, write_tree


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def scene(tmp_path: Path, cache: Path) -> Options:
    """Options of a scene: 2 bands whose pixels all differ (the first counts them), 3 classes."""
    height = 60
    width = 120
    first = np.arange(height * width, dtype=np.uint16).reshape(height, width)
    pixels = np.stack([first, first[::-1]])
    image = write_tif(tmp_path / "image.tif", pixels, ("red", "nir"))

    stripes = np.arange(height)[:, None] // 5 % 4  # 0 is unlabelled
    codes = np.tile(stripes, width).astype(np.uint8)
    tags = {"CLASS_1": "water", "CLASS_2": "wood", "CLASS_3": "field"}
    labels = write_tif(tmp_path / "labels.tif", codes[None], nodata=0, tags=tags)
    return {
        "image": image,
        "labels": labels,
        "window": 6,
        "cache": cache,
        "per_class": 50,
    }


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Ten RGB images in each of three classes."""
    return write_tree(tmp_path / "tree")


@pytest.fixture
def open_tree(tree: Path, cache: Path) -> Open:
    def opened(split: str = "train", **options: Any) -> SceneFolder:
        given = {"root": tree, "cache": cache} | options
        return SceneFolder(split=split, **given)

    return opened
