"""EuroSAT: the layouts that it comes in, its two versions, and the download."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hetlib.datasets import EuroSAT

from .scenes import write_tifs


@pytest.mark.parametrize("layout", ["EuroSAT_RGB", "2750", "."])
def test_eurosat_layouts(tree: Path, tmp_path: Path, cache: Path, layout: str) -> None:
    root = tmp_path / "root"
    for path in tree.glob("*/*.png"):
        target = root / layout / path.parent.name / f"{path.stem}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).save(target)
    dataset = EuroSAT(root, cache=cache)
    assert dataset.classes == ("a", "b", "c")
    assert dataset.bands == ("red", "green", "blue")


def test_eurosat_bands(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "ds/images/remote_sensing/otherDatasets/sentinel_2/tif"
    values = np.arange(4 * 13 * 4 * 4, dtype=np.uint16)
    write_tifs(folder, values.reshape(4, 13, 4, 4))
    dataset = EuroSAT(tmp_path, version="ms", bands=("B8A", "B04"), cache=cache)
    assert dataset.bands == ("B8A", "B04")


def test_eurosat_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"`root` is .*without EuroSAT; .*`download=True`"):
        EuroSAT(tmp_path)
    with pytest.raises(ValueError, match="`version` must be 'rgb' or 'ms', got 'x'"):
        EuroSAT(tmp_path, version="x")


def test_eurosat_download(
    tree: Path,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torchvision.datasets.utils as tools

    def download(url: str, root: str, md5: str | None) -> None:
        assert url == "https://zenodo.org/records/7711810/files/EuroSAT_RGB.zip"
        assert md5 == "f46e308c4d50d4bf32fedad2d3d62f3b"
        shutil.move(tree, Path(root) / "EuroSAT_RGB")

    monkeypatch.setattr(tools, "download_and_extract_archive", download)
    root = tmp_path / "root"
    root.mkdir()
    dataset = EuroSAT(root, download=True, cache=cache)
    assert len(dataset) == 18
