"""Files of the cache: a full disk says so, and a checksum looks all over a file."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hetlib.datasets import cache as store
from hetlib.datasets import storage

from .test_cache import ROOT, build, refuse


def test_large_files_are_checked_all_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PIECE", 4)
    monkeypatch.setattr(storage, "CHECKED", 16)
    path = tmp_path / "large"
    path.write_bytes(bytes(160))
    before = storage.checksum_of(path)
    for place in (0, 40, 121):  # within the four bytes at every 40
        content = bytearray(160)
        content[place] = 1
        path.write_bytes(content)
        assert storage.checksum_of(path) != before


FULL = """
import resource
import sys
import warnings
from pathlib import Path

import numpy as np

from hetlib.datasets import cache, storage

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
image = np.zeros((100, 100, 100))
ways = {
    "returned": lambda out: ({}, {"images": image}),
    "reserved": lambda out: (storage.reserve(out / "images.npy", float, image.shape), {}),
}
warnings.simplefilter("ignore")
try:
    cache.fetch(Path(sys.argv[1]), {"x": 1}, ways[sys.argv[2]])
except storage.CacheError as error:
    print(error)
"""


@pytest.mark.parametrize("way", ["returned", "reserved"])
def test_a_full_disk_says_so(tmp_path: Path, way: str) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "cache"), way]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "cannot be written: File too large" in done.stdout
    assert "images.npy" in done.stdout
    assert "`cache=`" in done.stdout
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_takes_nothing_is_replaced_for_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_instead", [])
    mkdir = Path.mkdir

    def read_only(self: Path, *arguments: Any, **options: Any) -> None:
        if self.name == "cache":
            raise OSError(errno.EROFS, "Read-only file system", str(self))
        mkdir(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", read_only)
    cache = tmp_path / "cache"
    with pytest.warns(UserWarning, match=r"cannot be written: Read-only.*cache'.* used instead"):
        entry = store.fetch(cache, {"x": 1}, build)
    assert entry.arrays["images"].sum() == 15
    assert store.fetch(cache, {"x": 1}, refuse).folder == entry.folder


@pytest.mark.parametrize("place", ["file", "file/below", "circle", "circle/below", 300 * "n"])
def test_a_cache_where_no_folder_can_be_is_replaced_for_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(store, "_instead", [])
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.warns(UserWarning, match=r"cache cannot be written: .*HETLIB_CACHE.* used instead"):
        entry = store.fetch(tmp_path / place, {"x": 1}, build)
    assert entry.arrays["images"].sum() == 15
    assert (tmp_path / "file").read_text() == "no folder"


def test_gaps_are_a_file_only_where_there_are_some(tmp_path: Path) -> None:
    gaps = storage.Gaps(tmp_path / "gaps.npy", (3, 2, 2, 1))
    gaps.put(0, None)
    gaps.put(1, np.zeros((2, 2, 1), bool))
    assert gaps.of(slice(None)) is None
    assert not gaps.path.exists()

    gaps.put(2, np.ones((2, 2, 1), bool))
    gaps.close()
    written = np.load(gaps.path)
    assert written[2].all()
    assert not written[:2].any()
