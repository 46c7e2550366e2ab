"""Arrays decoded once and memory-mapped by every process that needs them.

An entry is a folder of ``.npy`` files and a ``meta.json``, named by the fingerprint of what it was made from.
It is written beside its place and renamed: a killed writer leaves no half entry, two writers do no harm.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hetlib import paths

__all__ = ["Entry", "checksum", "fetch", "load"]

FORMAT = 1  # part of every fingerprint: raise it when the content of an entry changes


class Entry(NamedTuple):
    """Read-only memory-mapped arrays by name, and what is known about them."""

    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]
    folder: Path


def base(cache: str | os.PathLike[str] | None) -> Path:
    """Return the cache folder: the one given, or ``HETLIB_CACHE``'s."""
    return Path(cache).resolve() if cache is not None else paths.CACHE


def load(folder: Path) -> Entry | None:
    """Map an entry; ``None`` where there is none or it is damaged (:func:`fetch` then makes it again)."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in meta["arrays"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Entry(arrays, meta, folder)


def fetch(
    cache: Path, content: Mapping[str, object], build: Callable[[Path], tuple[dict, dict[str, np.ndarray]]]
) -> Entry:
    """Map the entry made from ``content``, and make it first where it is missing.

    Args:
        cache: Folder of all entries.
        content: Checksum of the source and every option that changes the arrays.
        build: Takes a folder, may write ``.npy`` files into it, and returns ``meta`` and further arrays.
    """
    text = json.dumps({"format": FORMAT, **content}, sort_keys=True, default=str)
    target = cache / hashlib.sha256(text.encode()).hexdigest()[:24]
    if (entry := load(target)) is not None:
        return entry
    cache.mkdir(parents=True, exist_ok=True)
    for left in cache.glob(".writing-*"):  # by writers killed a day ago or earlier
        if time.time() - left.stat().st_mtime > 86_400:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=cache) as temporary:
        written = Path(temporary) / "entry"
        written.mkdir()
        meta, arrays = build(written)
        for name, array in arrays.items():
            np.save(written / f"{name}.npy", array)
        names = sorted(path.stem for path in written.glob("*.npy"))
        (written / "meta.json").write_text(json.dumps({**meta, "arrays": names}, indent=1))
        if load(target) is None:  # otherwise another process was first
            shutil.rmtree(target, ignore_errors=True)
            with contextlib.suppress(OSError):
                written.rename(target)
    if (entry := load(target)) is None:
        raise OSError(f"The cache entry {target} could not be written; free some space or give `cache=`.")
    return entry


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksum(files: Mapping[str, Path], cache: Path) -> str:
    """Return one SHA-256 over names, sizes and contents of ``files``.

    Files whose size and time of change are as before are not read again: an index in ``cache`` knows them. A
    missing or damaged index only costs another reading.
    """
    root = os.path.commonpath(list(files.values()))
    index = cache / f"index-{hashlib.sha256(root.encode()).hexdigest()[:16]}.json"
    try:
        known = dict(json.loads(index.read_text()))
    except (OSError, ValueError, TypeError):
        known = {}
    # Status before content: a change while reading then shows next time.
    stats = [(str(path), path.stat()) for path in files.values()]
    keys = {path: f"{path}|{status.st_size}|{status.st_mtime_ns}" for path, status in stats}
    missing = [path for path, key in keys.items() if not isinstance(known.get(key), str)]
    if missing:
        known |= {keys[path]: sha256(Path(path)) for path in missing}
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=cache, prefix=".index-", delete=False) as out:
            json.dump(known, out)
        Path(out.name).replace(index)
    rows = [[name, status.st_size, known[keys[path]]] for name, (path, status) in zip(files, stats, strict=True)]
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()
