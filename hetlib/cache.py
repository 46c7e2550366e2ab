"""Arrays decoded once and memory-mapped by every process that needs them.

An entry is a folder of ``.npy`` files and a ``meta.json``, named by the fingerprint of what it was made from. It is
written beside its place and renamed: a killed writer leaves no half entry, two writers do no harm.
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FORMAT = 2  # part of every fingerprint: raise it when the content of an entry changes


class Entry(NamedTuple):
    """Read-only memory-mapped arrays by name, and what is known about them."""

    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]
    folder: Path


def fingerprint(content: object) -> str:
    """Return the SHA-256 of ``content`` as JSON; numpy's numbers count as floats."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=float).encode()).hexdigest()


def load(folder: Path) -> Entry | None:
    """Map an entry; ``None`` where there is none or it is damaged (:func:`fetch` then makes it again)."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in meta["arrays"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Entry(arrays, meta, folder)


def fetch(
    cache: Path, content: Mapping[str, Any], build: Callable[[Path], tuple[dict, dict[str, np.ndarray]]]
) -> Entry:
    """Map the entry made from ``content``, and make it first where it is missing; ``cache`` is the folder of all.

    ``content`` is the checksum of the source and every option that changes the arrays; ``meta`` repeats it. ``build``
    takes a folder, may write ``.npy`` files into it, and returns more of ``meta`` and further arrays.
    """
    target = cache / fingerprint({"format": FORMAT, **content})[:24]
    if (entry := load(target)) is not None:
        return entry
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
        (written / "meta.json").write_text(json.dumps({**content, **meta, "arrays": names}, default=float))
        if load(target) is None:  # otherwise another process was first
            shutil.rmtree(target, ignore_errors=True)
            with contextlib.suppress(OSError):
                written.rename(target)
    if (entry := load(target)) is None:
        raise OSError(f"The cache entry {target} could not be written; free some space or give `cache=`.")
    return entry


def checksum(files: Mapping[str, Path], cache: Path) -> str:
    """Return one SHA-256 over names, sizes and contents of ``files``.

    It is an entry of the cache too: files whose size and time of change are as before are not read again.
    """
    # Status before content: a change while reading then shows next time.
    stats = {name: path.stat() for name, path in files.items()}
    state = sorted([str(files[name]), name, status.st_size, status.st_mtime_ns] for name, status in stats.items())

    def read(_: Path) -> tuple[dict, dict[str, np.ndarray]]:
        rows = []
        for name, status in stats.items():
            with files[name].open("rb") as file:
                rows.append([name, status.st_size, hashlib.file_digest(file, "sha256").hexdigest()])
        return {"checksum": fingerprint(sorted(rows))}, {}

    return fetch(cache, {"files": fingerprint(state)}, read).meta["checksum"]
