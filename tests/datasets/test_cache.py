"""The cache: shared, never half written, made again when the source changes."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hetlib.datasets import cache as store

ROOT = Path(__file__).resolve().parents[2]

SLOW_WRITER = """
import sys
import time
from pathlib import Path

import numpy as np

from hetlib.datasets import cache


def build(out):
    np.save(out / "images.npy", np.zeros(1000))
    print("writing", flush=True)
    time.sleep(60)


cache.fetch(Path(sys.argv[1]), {"x": 1}, build)
"""


def build(_: Path) -> store.Content:
    return {"bands": ["a"]}, {"images": np.arange(6.0).reshape(2, 3)}


def refuse(_: Path) -> store.Content:
    raise AssertionError("made again")


def entries(folder: Path) -> list[str]:
    folders = [path.name for path in folder.iterdir() if path.is_dir()]
    return sorted(name for name in folders if not name.startswith("."))


def test_is_made_once_and_mapped(tmp_path: Path) -> None:
    store.fetch(tmp_path, {"x": 1}, build)
    entry = store.fetch(tmp_path, {"x": 1}, refuse)
    assert isinstance(entry.arrays["images"], np.memmap)
    assert not entry.arrays["images"].flags.writeable
    assert entry.meta["bands"] == ["a"]


def test_other_options_are_another_entry(tmp_path: Path) -> None:
    store.fetch(tmp_path, {"x": 1}, build)
    store.fetch(tmp_path, {"x": 2}, build)
    assert len(entries(tmp_path)) == 2


def test_a_format_change_is_another_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.fetch(tmp_path, {"x": 1}, build)
    monkeypatch.setattr(store, "FORMAT", store.FORMAT + 1)
    store.fetch(tmp_path, {"x": 1}, build)
    assert len(entries(tmp_path)) == 2


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        store.fetch(tmp_path, {"x": 1}, refuse)
    assert list(tmp_path.iterdir()) == []


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x40
    path.write_bytes(content)


def foreign(path: Path) -> None:
    np.save(path, np.arange(6.0).reshape(3, 2))


ARRAY_DAMAGE = {
    "truncated": truncate,
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "flipped": flip,
    "foreign": foreign,
    "noise": lambda path: path.write_bytes(bytes(range(256))),
}


@pytest.mark.parametrize("damage", [*ARRAY_DAMAGE, "meta"])
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: str) -> None:
    folder = store.fetch(tmp_path, {"x": 1}, build).folder
    if damage == "meta":
        (folder / "meta.json").write_text("{")
    else:
        ARRAY_DAMAGE[damage](folder / "images.npy")
    entry = store.fetch(tmp_path, {"x": 1}, build)
    assert entry.arrays["images"].sum() == 15
    assert store.fetch(tmp_path, {"x": 1}, refuse).arrays["images"].sum() == 15


def test_any_file_of_an_entry_is_checked(tmp_path: Path) -> None:
    def build_more(out: Path) -> store.Content:
        (out / "components.tif").write_bytes(b"a raster")
        return build(out)

    raster = store.fetch(tmp_path, {"x": 1}, build_more).folder / "components.tif"
    for damage in (flip, truncate, Path.unlink):
        damage(raster)
        store.fetch(tmp_path, {"x": 1}, build_more)
        assert raster.read_bytes() == b"a raster"


FOREIGN_META = (
    "",
    "[]",
    "null",
    '{"files": []}',
    '{"files": {}}',
    '{"files": ["images.npy"]}',
    '{"files": {"images.npy": {"size": 1, "crc": 1}}, "bands": ["a"], "seal": ""}',
    "\x00\xff",
)


@pytest.mark.parametrize("content", FOREIGN_META)
def test_a_foreign_meta_is_no_entry(tmp_path: Path, content: str) -> None:
    folder = store.fetch(tmp_path, {"x": 1}, build).folder
    (folder / "meta.json").write_bytes(content.encode("latin-1"))
    entry = store.fetch(tmp_path, {"x": 1}, build)
    assert entry.meta["bands"] == ["a"]
    assert entry.arrays["images"].sum() == 15


def test_meta_with_a_changed_word_is_no_entry(tmp_path: Path) -> None:
    meta = store.fetch(tmp_path, {"x": 1}, build).folder / "meta.json"
    meta.write_text(meta.read_text().replace('["a"]', '["b"]'))
    assert store.fetch(tmp_path, {"x": 1}, build).meta["bands"] == ["a"]


def test_the_entry_of_other_options_is_none_of_these(tmp_path: Path) -> None:
    one = store.fetch(tmp_path, {"x": 1}, build).folder
    other = store.fetch(tmp_path, {"x": 2}, build).folder
    shutil.rmtree(other)
    shutil.copytree(one, other)
    assert store.fetch(tmp_path, {"x": 2}, build).meta["x"] == 2


def test_a_file_in_place_of_an_entry(tmp_path: Path) -> None:
    folder = store.fetch(tmp_path, {"x": 1}, build).folder
    shutil.rmtree(folder)
    folder.write_text("a file")
    assert store.fetch(tmp_path, {"x": 1}, build).arrays["images"].sum() == 15


def test_survives_a_kill_while_writing(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SLOW_WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        writer.send_signal(signal.SIGKILL)
    assert entries(tmp_path) == []
    (left,) = tmp_path.glob(".writing-*")

    assert store.fetch(tmp_path, {"x": 1}, build).arrays["images"].sum() == 15
    assert left.exists()  # it could be a living writer's

    two_days_ago = time.time() - 2 * 86_400
    os.utime(left, (two_days_ago, two_days_ago))
    store.fetch(tmp_path, {"x": 2}, build)
    assert not left.exists()


def test_two_writers_at_once(tmp_path: Path) -> None:
    def slow(out: Path) -> store.Content:
        store.fetch(tmp_path, {"x": 1}, build)  # another writer is faster
        return build(out)

    entry = store.fetch(tmp_path, {"x": 1}, slow)
    assert entry.arrays["images"].sum() == 15
    assert len(entries(tmp_path)) == 1
    assert not list(tmp_path.glob(".writing-*"))


def test_checksum_covers_names_and_contents(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    a = tmp_path / "a"
    b = tmp_path / "b"
    a.write_text("a")
    b.write_text("b")
    one = store.checksum({"a": a, "b": b}, cache)
    assert one == store.checksum({"b": b, "a": a}, cache)
    assert one != store.checksum({"a": a, "c": b}, cache)
    b.write_text("changed")
    assert one != store.checksum({"a": a, "b": b}, cache)


def test_checksum_sees_contents_of_equal_size_and_time(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("old")
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    old = store.checksum({"a": file}, tmp_path / "cache")
    file.write_text("new")
    os.utime(file, ns=times)  # as `cp -p`, `rsync -t` and `touch -r` do
    assert store.checksum({"a": file}, tmp_path / "cache") != old


def test_untouched_files_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"a": tmp_path / "a"}
    files["a"].write_text("a")
    first = store.checksum(files, tmp_path / "cache")
    monkeypatch.setattr(hashlib, "file_digest", refuse)
    assert store.checksum(files, tmp_path / "cache") == first


NO_ENTRIES = ("", "{", "[1]", "null", '{"x": [1]}', "\x00\xff")


@pytest.mark.parametrize("content", NO_ENTRIES)
def test_a_damaged_index_is_harmless(tmp_path: Path, content: str) -> None:
    files = {"a": tmp_path / "a"}
    files["a"].write_text("a")
    first = store.checksum(files, tmp_path / "cache")
    (index,) = (tmp_path / "cache").glob("*/meta.json")
    index.write_bytes(content.encode("latin-1"))
    assert store.checksum(files, tmp_path / "cache") == first
