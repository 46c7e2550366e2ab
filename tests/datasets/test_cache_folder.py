"""Where the cache lies for a user without a home, or with one that cannot be written to."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hetlib.datasets.cache_folder import default_folder

NAMES = ("HOME", "HETLIB_CACHE", "XDG_CACHE_HOME")
UNKNOWN = """
import pwd
def unknown(*_):
    raise KeyError("no such user")
pwd.getpwuid = unknown
from hetlib.datasets import cache
print(cache.CACHE)
"""


def folder_of(tmp_path: Path, code: str = UNKNOWN, **more: str) -> Path:
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "TMPDIR": str(tmp_path), **more},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_without_a_home_it_lies_among_the_temporary_files(tmp_path: Path) -> None:
    assert folder_of(tmp_path).parent == tmp_path
    assert folder_of(tmp_path, HETLIB_CACHE="~/mine").parent == tmp_path
    assert folder_of(tmp_path, XDG_CACHE_HOME=str(tmp_path / "c")) == tmp_path / "c" / "hetlib"
    assert folder_of(tmp_path, HETLIB_CACHE=str(tmp_path / "d")) == tmp_path / "d"
    assert folder_of(tmp_path, HOME=str(tmp_path)) == tmp_path / ".cache" / "hetlib"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that takes no files")
@pytest.mark.parametrize("home", ["/proc", "/proc/self", "/proc/none"])
def test_with_a_home_that_takes_no_files_it_lies_among_the_temporary_ones(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", home)
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith("/proc"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert default_folder().parent == tmp_path
