"""Trees of files: what is an image, what is left out, and what is looked at before it is read."""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hetlib.datasets import trees
from hetlib.datasets.trees import open_tree as list_tree

from .scenes import Open

LEFT = (
    ".ipynb_checkpoints/0-checkpoint.png",
    "__MACOSX/a/._0.png",
    "a/.ipynb_checkpoints/1-checkpoint.png",
    "a/._1.png",
    "b/@eaDir/0.png",
    ".DS_Store",
    "a/Thumbs.db",
)


def add_what_systems_leave(tree: Path) -> None:
    for name in LEFT:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tree / "a" / "0.png", path)


def test_hidden_files_and_folders_are_left_out(open_tree: Open, tree: Path) -> None:
    plain = list_tree(tree).names
    add_what_systems_leave(tree)
    assert list_tree(tree).names == plain
    assert open_tree().classes == ("a", "b", "c")


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
@pytest.mark.parametrize("base", [None, "."])
def test_hidden_members_of_archives_are_left_out(
    open_tree: Open, tree: Path, tmp_path: Path, kind: str, base: str | None
) -> None:
    add_what_systems_leave(tree)
    packed = shutil.make_archive(str(tmp_path / "packed"), kind, tree, base)
    assert len(list_tree(Path(packed)).names) == 30
    assert open_tree(root=packed).classes == ("a", "b", "c")


def test_linked_folders_and_files_are_read(open_tree: Open, tree: Path, tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    shutil.move(tree / "b", storage / "water")
    (tree / "b").symlink_to(storage / "water")
    image = tree / "c" / "0.png"
    shutil.move(image, storage / "one.png")
    image.symlink_to(storage / "one.png")
    assert len(list_tree(tree).names) == 30
    assert open_tree().classes == ("a", "b", "c")


def test_circles_of_links_come_to_an_end(open_tree: Open, tree: Path) -> None:
    (tree / "a" / "up").symlink_to(tree)
    (tree / "b" / "self").symlink_to(tree / "b")
    (tree / "c" / "own").symlink_to(tree / "c" / "own")
    assert len(list_tree(tree).names) == 30
    assert open_tree().classes == ("a", "b", "c")


def test_a_folder_with_the_name_of_an_image(open_tree: Open, tree: Path) -> None:
    (tree / "a" / "folder.png").mkdir()
    assert open_tree().classes == ("a", "b", "c")


def test_no_ordinary_files(open_tree: Open, tree: Path) -> None:
    odd = tree / "b" / "odd.png"
    odd.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"b/odd\.png is no ordinary file; remove it"):
        open_tree()
    odd.unlink()
    os.mkfifo(odd)
    with pytest.raises(ValueError, match=r"b/odd\.png is no ordinary file; remove it"):
        open_tree()
    odd.unlink()
    odd.symlink_to(tree / "nowhere.png")
    with pytest.raises(ValueError, match=r"b/odd\.png cannot be read \(No such file"):
        open_tree()


def test_text_named_as_an_image_is_not_read_on(open_tree: Open, tree: Path) -> None:
    (tree / "b" / "0.png").write_text("<html>not found</html>")
    said = r"b/0\.png cannot be read \(it is no JPEG, PNG, TIFF, GIF, .* or PPM"
    with pytest.raises(ValueError, match=said):
        open_tree()


def test_a_member_that_unpacks_to_far_more(open_tree: Open, tree: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for path in tree.rglob("*.png"):
            out.write(path, path.relative_to(tree))
        out.writestr("b/bomb.png", bytes(trees.SUSPICIOUS + 1))
    with pytest.raises(ValueError, match=r"b/bomb\.png cannot be read \(it says that [\d,]+ bytes"):
        open_tree(root=packed)


def test_a_file_larger_than_memory(
    open_tree: Open, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = tree / "b" / "large.tif"
    large.write_bytes(b"II*\x00")
    os.truncate(large, 1 << 40)  # takes no space
    with pytest.raises(ValueError, match=r"b/large\.tif, .* bytes, needs 1024\.0 GiB of memory"):
        list_tree(tree).read("b/large.tif")


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "bztar"])
def test_damaged_archives(open_tree: Open, tree: Path, tmp_path: Path, kind: str) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), kind, tree))
    content = packed.read_bytes()
    packed.write_bytes(content[: len(content) // 2])
    with pytest.raises((ValueError, FileNotFoundError), match=r"packed\."):
        open_tree(root=packed)


def test_damaged_members(open_tree: Open, tree: Path, tmp_path: Path) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tree))
    content = bytearray(packed.read_bytes())
    place = content.index(b"IDAT") + 20
    content[place] ^= 0xFF
    packed.write_bytes(content)
    with pytest.raises(ValueError, match=r"packed\.zip: ./\d\.png cannot be read"):
        open_tree(root=packed)


def test_a_bomb_among_small_images(open_tree: Open, tree: Path) -> None:
    for name in ("a/bomb.png", "a/0.png"):  # also as the first
        bomb = Image.new("1", (12_000, 12_000))
        bomb.save(tree / name)
        with pytest.raises(ValueError, match=r"12000, 12000, 1\).* \(8, 8, 3\)|\(8, 8, 3\).*12000"):
            open_tree()


def test_side_cars_belong_to_their_image(open_tree: Open, tree: Path) -> None:
    before = open_tree()
    (tree / "a" / "0.png.aux.xml").write_text("<PAMDataset></PAMDataset>")
    (tree / "a" / "other.aux.xml").write_text("<PAMDataset></PAMDataset>")
    found = list_tree(tree)
    assert len(found.names) == 30
    assert found.beside("a/0.png") == {".aux.xml": b"<PAMDataset></PAMDataset>"}
    assert found.beside("a/1.png") == {}
    after = open_tree()
    assert after.checksum != before.checksum
    assert np.array_equal(after.indices, before.indices)


@pytest.mark.parametrize("target", ["/nowhere/at/all", "water"])
def test_a_class_that_is_a_link_to_nothing(open_tree: Open, tree: Path, target: str) -> None:
    (tree / "water").symlink_to(target)
    with pytest.raises(ValueError, match=r"water holds no image .* a link to nothing"):
        open_tree()


def test_links_to_nothing_beside_images(open_tree: Open, tree: Path) -> None:
    (tree / "readme.txt").symlink_to("/nowhere/readme.txt")
    (tree / "a" / "notes").symlink_to("/nowhere")
    assert open_tree().classes == ("a", "b", "c")


@pytest.mark.parametrize(
    "ending", [".bmp", ".webp", ".gif", ".jp2", ".jpe", ".jfif", ".ppm", ".JP2"]
)
def test_other_images_are_not_left_out(open_tree: Open, tree: Path, ending: str) -> None:
    first = tree / "b" / "0.png"
    image = Image.open(first)
    format = Image.registered_extensions()[ending.lower()]
    image.save(first.with_suffix(ending), format)
    first.unlink()
    assert len(list_tree(tree).names) == 30
    assert open_tree().bands == ("red", "green", "blue")
