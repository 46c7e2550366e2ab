"""Arrays decoded once and memory-mapped by every process that needs them.

An entry is a folder of ``.npy`` files and a ``meta.json``, named by the fingerprint of what it was
made from. It is written beside its place and renamed: a killed writer leaves no half entry, two
writers do no harm.
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from os import getenv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hetlib.files import fingerprint

CACHE = (
    Path(getenv("HETLIB_CACHE") or Path(getenv("XDG_CACHE_HOME") or "~/.cache", "hetlib"))
    .expanduser()
    .resolve()
)


FORMAT = 2  # part of every fingerprint: raise it when the content of an entry changes


Build = Callable[[Path], tuple[dict, dict[str, np.ndarray]]]


class Entry(NamedTuple):
    """Read-only memory-mapped arrays by name, and what is known about them; a pickled copy maps them itself."""

    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]
    folder: Path

    def __reduce__(self) -> tuple:
        return load, (self.folder,)


def load(folder: Path) -> Entry:
    """Map an entry; ``FileNotFoundError`` where there is none or it is damaged (:func:`fetch` then makes it again)."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        return Entry(
            {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in meta["arrays"]},
            meta,
            folder,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "open the data set again, with free space there or another `cache=`"
        raise FileNotFoundError(
            f"The cache entry {folder} is missing or damaged ({error}); {remedy}."
        ) from error


def fetch(cache: Path, content: Mapping[str, Any], build: Build) -> Entry:
    """Map the entry made from ``content``, and make it first where it is missing; ``cache`` is the folder of all.

    ``content`` is the checksum of the source and every option that changes the arrays; ``meta``
    repeats it. ``build`` takes a folder, may write ``.npy`` files into it, and returns more of
    ``meta`` and further arrays.
    """
    target = cache / fingerprint({"format": FORMAT, **content})[:24]
    with contextlib.suppress(FileNotFoundError):
        return load(target)
    shutil.rmtree(target, ignore_errors=True)  # a damaged one
    cache.mkdir(parents=True, exist_ok=True)
    for left in cache.glob(".writing-*"):
        with contextlib.suppress(FileNotFoundError):  # a living writer has just finished
            if time.time() - left.stat().st_mtime > 86_400:  # seconds; a killed writer's
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=cache) as temporary:
        written = Path(temporary) / "entry"
        written.mkdir()
        meta, arrays = build(written)
        for name, array in arrays.items():
            np.save(written / f"{name}.npy", array)
        names = sorted(path.stem for path in written.glob("*.npy"))
        (written / "meta.json").write_text(
            json.dumps({**content, **meta, "arrays": names}, default=float)
        )
        with contextlib.suppress(OSError):  # another process was first
            written.rename(target)
    return load(target)


def checksum(files: Mapping[str, Path], cache: Path) -> str:
    """Return one SHA-256 over names, sizes and contents of ``files``, cached until a size or time of change differs."""
    # before content: a change meanwhile shows next time
    stats = {name: path.stat() for name, path in files.items()}
    states = {
        name: (str(files[name]), status.st_size, status.st_mtime_ns)
        for name, status in stats.items()
    }

    def read(_: Path) -> tuple[dict, dict[str, np.ndarray]]:
        rows = []
        for name, path in sorted(files.items()):
            with path.open("rb") as file:
                rows.append(
                    [name, stats[name].st_size, hashlib.file_digest(file, "sha256").hexdigest()]
                )
        return {"checksum": fingerprint(rows)}, {}

    return fetch(cache, {"files": fingerprint(states)}, read).meta["checksum"]
