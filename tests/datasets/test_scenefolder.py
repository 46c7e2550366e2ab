"""Trees of class folders: what is one, and what is refused."""

import contextlib
import tarfile
from pathlib import Path

import numpy as np
import pytest

from hetlib.datasets import SceneFolder
from hetlib.errors import DatasetNotFoundError

from .scenes import Open, write_tif


def test_bad_trees(open_tree: Open, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere; it must be the folder above"):
        open_tree(root=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="must hold only class folders"):
        open_tree(root=tree / "a")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="must hold only class folders"):
        open_tree(root=tmp_path / "empty")
    (tmp_path / "file.txt").write_text("no archive")
    with pytest.raises(FileNotFoundError, match="or a tar or zip"):
        open_tree(root=tmp_path / "file.txt")
    with pytest.raises(ValueError, match=r"unknown classes \['c'\] and lacks \['d'\]"):
        open_tree(classes=("a", "b", "d"))
    with pytest.raises(ValueError, match=r"`band_names` must have 3 names .*got \('x',\)"):
        open_tree(band_names=("x",))
    (tree / "d").mkdir()
    with pytest.raises(ValueError, match=r"Class folder .*d holds no image"):
        open_tree()


def test_what_is_no_archive_is_told_at_once(tmp_path: Path) -> None:
    """An endless device is not read for the end of a zip file, nor a link to itself followed."""
    endless = tmp_path / "a.zip"
    endless.symlink_to("/dev/zero")
    loop = tmp_path / "b.tar"
    loop.symlink_to(loop)
    for path in (endless, loop):
        with pytest.raises(
            (ValueError, FileNotFoundError), match=r"must be the folder|leads nowhere"
        ):
            SceneFolder(path, cache=tmp_path / "cache")
    broken = tmp_path / "c.tar.gz"
    with tarfile.open(broken, "w:gz") as tar:
        for number in range(20):
            image = write_tif(tmp_path / f"c{number}.tif", np.full((3, 9, 9), number, np.uint8))
            tar.add(image, f"tree/c{number % 2}/{number}.tif")
    content = broken.read_bytes()
    for place in range(40, len(content), 40):
        broken.write_bytes(content[:place] + b"\xff\xff" + content[place + 2 :])
        with contextlib.suppress(ValueError, FileNotFoundError):
            SceneFolder(broken, cache=tmp_path / "cache")


def test_an_archive_that_is_a_device_or_a_circle_of_links_is_named(tmp_path: Path) -> None:
    for name in ("a.zip", "a.tar", "a.tar.gz"):
        path = tmp_path / name
        path.symlink_to("/dev/zero")
        with pytest.raises(
            DatasetNotFoundError, match="`root` is /dev/zero; it must be the folder"
        ):
            SceneFolder(path, cache=tmp_path / "cache")
        path.unlink()
        path.symlink_to(path)
        with pytest.raises(ValueError, match=f"{name} leads nowhere"):
            SceneFolder(path, cache=tmp_path / "cache")
