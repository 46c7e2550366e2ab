"""Archives of images: links in them, names as other systems write them, and archives cut off."""

import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from hetlib.datasets.trees import open_tree as list_tree

from .scenes import Open

IMAGES = 30

# How a zip says that a file is a link.
LINK = 0o120777 << 16


def packed_tar(tree: Path) -> Path:
    return Path(shutil.make_archive(str(tree.parent / "packed"), "tar", tree.parent, tree.name))


def test_links_within_a_tar_are_followed(open_tree: Open, tree: Path) -> None:
    (tree / "a" / "linked.png").symlink_to("0.png")
    (tree / "a" / "twice.png").symlink_to("../a/linked.png")
    os.link(tree / "b" / "0.png", tree / "b" / "hard.png")
    found = list_tree(packed_tar(tree))
    assert len(found.names) == IMAGES + 3
    assert found.read("tree/a/twice.png") == (tree / "a" / "0.png").read_bytes()
    assert found.read("tree/b/hard.png") == (tree / "b" / "0.png").read_bytes()
    assert open_tree(root=packed_tar(tree)).classes == ("a", "b", "c")


@pytest.mark.parametrize("target", ["/nowhere/0.png", "../../gone.png", "1x.png"])
def test_a_link_out_of_a_tar(tree: Path, target: str) -> None:
    (tree / "a" / "x.png").symlink_to(target)
    with pytest.raises(ValueError, match=r"a/x\.png is a link to .*--dereference"):
        list_tree(packed_tar(tree))


def test_links_in_a_circle_in_a_tar(tree: Path) -> None:
    (tree / "a" / "x.png").symlink_to("y.png")
    (tree / "a" / "y.png").symlink_to("x.png")
    with pytest.raises(ValueError, match=r"a/.\.png is a link to"):
        list_tree(packed_tar(tree))


def test_a_class_that_is_a_link_in_a_tar(open_tree: Open, tree: Path) -> None:
    shutil.move(tree / "b", tree.parent / "storage")
    (tree / "b").symlink_to(tree.parent / "storage")
    with pytest.raises(ValueError, match=r"tree/b holds no image .* a link to nothing"):
        open_tree(root=packed_tar(tree))


def test_links_in_a_zip(open_tree: Open, tree: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as out:
        for path in tree.rglob("*.png"):
            out.write(path, path.relative_to(tree))
        link = zipfile.ZipInfo("a/x.png")
        link.external_attr = LINK
        out.writestr(link, "../b/0.png")
    assert list_tree(packed).read("a/x.png") == (tree / "b" / "0.png").read_bytes()
    assert open_tree(root=packed).classes == ("a", "b", "c")


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_a_class_without_images(open_tree: Open, tree: Path, kind: str) -> None:
    (tree / "dunes").mkdir()
    packed = shutil.make_archive(str(tree.parent / "packed"), kind, tree)
    with pytest.raises(ValueError, match=r"dunes holds no image"):
        open_tree(root=packed)


@pytest.mark.parametrize("separator", ["/", "\\"])
@pytest.mark.parametrize("top", ["", "data", ".."])
def test_names_as_other_programs_write_them(
    open_tree: Open, tree: Path, tmp_path: Path, separator: str, top: str
) -> None:
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as out:
        for path in tree.rglob("*.png"):
            parts = (top, *path.relative_to(tree).parts)
            info = zipfile.ZipInfo("x")
            info.filename = separator.join(part for part in parts if part)
            out.writestr(info, path.read_bytes())
    assert open_tree(root=packed).classes == ("a", "b", "c")


def test_names_from_the_root_of_the_disk(open_tree: Open, tree: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.tar"
    with tarfile.open(packed, "w") as out:
        for path in tree.rglob("*.png"):
            info = out.gettarinfo(path)
            info.name = str(path)  # as `tar -P` writes it
            with path.open("rb") as file:
                out.addfile(info, file)
    (tree / "notes").mkdir()  # on the disk, not in the archive
    assert open_tree(root=packed).classes == ("a", "b", "c")


@pytest.mark.parametrize("place", ["between", "within"])
def test_a_tar_that_is_cut_off(tree: Path, place: str) -> None:
    packed = packed_tar(tree)
    with tarfile.open(packed) as tar:
        member = [info for info in tar if info.isfile()][20]
    end = member.offset if place == "between" else member.offset_data + 5
    os.truncate(packed, end)
    with pytest.raises(ValueError, match=r"packed\.tar is a damaged archive .*; fetch it again"):
        list_tree(packed)


def test_a_zip_that_is_cut_off(tree: Path) -> None:
    packed = Path(shutil.make_archive(str(tree.parent / "packed"), "zip", tree))
    os.truncate(packed, packed.stat().st_size // 2)
    with pytest.raises(ValueError, match=r"packed\.zip is a damaged archive .*end is missing"):
        list_tree(packed)
