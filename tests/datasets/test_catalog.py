"""Data sets by name: those that there are, where they are looked for, and new ones."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hetlib
from hetlib.datasets import SceneFolder, catalog
from hetlib.datasets.catalog import DATASETS, load_dataset
from hetlib.errors import DatasetNotFoundError

from .scenes import write_tree

EMBEDDED = ("brandenburg", "wake")

OWN = """
from hetlib.datasets.catalog import register
from hetlib.datasets.scenefolder import SceneFolder


class Own(SceneFolder):
    pass


register("own", Own, {"size": 4}, places=["images"])
"""


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_scenes_have_all_classes_on_both_sides(name: str, tmp_path: Path) -> None:
    for split in ("train", "test"):
        dataset = load_dataset(name, split, per_class=40, cache=tmp_path)
        assert np.bincount(dataset.labels, minlength=len(dataset.classes)).min() > 0
        images, _ = dataset.gather(range(len(dataset)))
        assert images.isfinite().all()
        assert images.abs().max() < 60


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_scenes_may_lie_in_hetlib_data(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, settings, _ = DATASETS[name]
    clone = catalog.DATA
    wheel = tmp_path / "site-packages" / "data"
    monkeypatch.setattr(catalog, "DATA", wheel)
    moved = catalog.scene_files(name, wheel)
    monkeypatch.setitem(DATASETS, name, catalog.Known(kind, settings | moved, ()))

    missing = rf"{name} is part of the clone, .*no {name}\.tif and {name}_labels\.tif .*HETLIB_DATA"
    monkeypatch.delenv("HETLIB_DATA", raising=False)
    with pytest.raises(DatasetNotFoundError, match=missing):
        load_dataset(name)
    monkeypatch.setenv("HETLIB_DATA", str(tmp_path))
    with pytest.raises(DatasetNotFoundError, match=missing):
        load_dataset(name)
    monkeypatch.setenv("HETLIB_DATA", str(clone))
    assert len(load_dataset(name, per_class=5, cache=tmp_path / "cache")) > 0


def test_own_files_in_place_of_an_embedded_scene(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"There is no file .*own\.tif"):
        load_dataset("wake", image=tmp_path / "own.tif")


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"`name` must be one of .*'brandenburg'.*got 'mars'"):
        load_dataset("mars")


def test_folder_in_hetlib_data(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HETLIB_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"rsscn7 needs `root=`, or .*HETLIB_DATA"):
        load_dataset("rsscn7")
    monkeypatch.setitem(DATASETS, "rsscn7", (SceneFolder, {"classes": ["a", "b", "c"]}, ("tree",)))
    assert load_dataset("rsscn7", cache=tmp_path / "cache").classes == ("a", "b", "c")


def test_an_entry_of_the_catalog_is_a_data_set_more(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "DATASETS", {})
    entries = tmp_path / "more.toml"
    entries.write_text('[tree]\nsize = 4\nclasses = ["c", "b", "a"]\n')
    catalog.register_catalog(entries)
    monkeypatch.setenv("HETLIB_DATA", str(tmp_path))
    dataset = load_dataset("tree", cache=tmp_path / "cache")
    assert dataset.classes == ("c", "b", "a")
    assert dataset.image_shape == (3, 4, 4)

    entries.write_text('[tree]\nkind = "cubes"\n')
    with pytest.raises(ValueError, match="`kind` is 'cubes'; allowed are"):
        catalog.register_catalog(entries)


def test_a_file_in_the_folder_is_a_data_set_more(tmp_path: Path) -> None:
    package = Path(hetlib.__file__).parent
    shutil.copytree(package, tmp_path / "hetlib", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "hetlib" / "datasets" / "own.py").write_text(OWN)
    write_tree(tmp_path / "data" / "images")

    code = "from hetlib.datasets import load_dataset; print(load_dataset('own').image_shape)"
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "HETLIB_DATA": str(tmp_path / "data"),
        "HETLIB_CACHE": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    assert done.stdout.strip() == "(3, 4, 4)"
