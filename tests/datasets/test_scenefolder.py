"""Trees of class folders: what is one, and what is refused."""

from pathlib import Path

import pytest

from .scenes import Open


def test_bad_trees(open_tree: Open, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere must be the folder above"):
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
