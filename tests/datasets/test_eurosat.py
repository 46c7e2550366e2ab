"""EuroSAT: the layouts that it comes in, its two versions, and the download."""

import dataclasses
import hashlib
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from PIL import Image

from hetlib.datasets import EuroSAT, eurosat
from hetlib.errors import DatasetNotFoundError

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


def write_archive(tree: Path, root: Path) -> tuple[Path, str]:
    """Pack a tree as the official archive; its place and its MD5."""
    root.mkdir()
    path = root / "EuroSAT_RGB.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for image in sorted(tree.glob("*/*.png")):
            archive.write(image, f"EuroSAT_RGB/{image.parent.name}/{image.name}")
    return path, hashlib.md5(path.read_bytes()).hexdigest()


def test_eurosat_archive(
    tree: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, digest = write_archive(tree, tmp_path / "root")
    assert EuroSAT(path.parent, cache=cache).classes == ("a", "b", "c")
    for root in (path, path.parent):
        with pytest.raises(ValueError, match=rf"MD5 {digest}, not the official f46e308c"):
            EuroSAT(root, checksum=True, cache=cache)

    official = dataclasses.replace(eurosat.RELEASES["rgb"], md5=digest)
    monkeypatch.setitem(eurosat.RELEASES, "rgb", official)
    for root in (path, path.parent):
        assert len(EuroSAT(root, checksum=True, cache=cache)) == 18


def test_eurosat_without_archive_has_no_checksum(tree: Path, cache: Path) -> None:
    for path in tree.glob("*/*.png"):
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
    with pytest.raises(DatasetNotFoundError, match=r"`checksum=True` needs the archive .*\.zip"):
        EuroSAT(tree, checksum=True, cache=cache)


def test_eurosat_in_the_shape_of_torchgeo(tree: Path, tmp_path: Path, cache: Path) -> None:
    def halved(sample: dict) -> dict:
        sample["image"] = sample["image"] / 2
        return sample

    path, _ = write_archive(tree, tmp_path / "root")
    plain = EuroSAT(path.parent, cache=cache)
    data = EuroSAT(path.parent, transforms=halved, cache=cache)
    assert torch.equal(data[3]["image"], plain[3]["image"] / 2)
    figure = data.plot(data[3], show_titles=False, suptitle="halved")
    assert figure.get_suptitle() == "halved"
    pyplot.close(figure)
