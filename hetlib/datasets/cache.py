"""Arrays decoded once and memory-mapped by every process that needs them.

An entry is a folder of ``.npy`` files and a ``meta.json``, named by the fingerprint of what it was
made from. It is written beside its place and renamed: a killed writer leaves no half entry, two
writers do no harm.
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
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from hetlib.files import fingerprint, write_text

# Part of every fingerprint: raise it when the content of an entry changes.
FORMAT = 2

# Characters of a fingerprint that name an entry's folder.
NAME_LENGTH = 24

# Entries are written into folders of this name first.
WRITING = ".writing-"

# Seconds after which a folder that is still being written is taken for a killed writer's.
ABANDONED = 86_400

# What is known about an entry, and its arrays by name.
Content: TypeAlias = tuple[dict[str, Any], dict[str, np.ndarray]]
Build: TypeAlias = Callable[[Path], Content]


def default_folder() -> Path:
    """Return the folder of all entries: ``HETLIB_CACHE``, else ``hetlib`` in the user's cache."""
    everybodys = os.getenv("XDG_CACHE_HOME") or "~/.cache"
    ours = os.getenv("HETLIB_CACHE") or Path(everybodys, "hetlib")
    return Path(ours).expanduser().resolve()


CACHE = default_folder()


class Entry(NamedTuple):
    """Read-only memory-mapped arrays and what is known about them; a pickled copy maps them itself.

    Attributes:
        arrays: By name.
        meta: What the entry was made from, and what its maker found out; the keys are the maker's.
        folder: Where the entry lies.
    """

    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]
    folder: Path

    def __reduce__(self) -> tuple:
        return load, (self.folder,)


def load(folder: Path) -> Entry:
    """Map an entry.

    Args:
        folder: Of the entry itself.

    Returns:
        The entry; its arrays are read where they are used.

    Raises:
        FileNotFoundError: There is none or it is damaged; :func:`fetch` then makes it again.
    """
    try:
        meta = json.loads((folder / "meta.json").read_text())
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in meta["arrays"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "open the data set again, with free space there or another `cache=`"
        raise FileNotFoundError(
            f"The cache entry {folder} is missing or damaged ({error}); {remedy}."
        ) from error
    return Entry(arrays, meta, folder)


def fetch(cache: Path, content: Mapping[str, Any], build: Build) -> Entry:
    """Map the entry made from ``content``, and make it first where it is missing.

    Args:
        cache: The folder of all entries.
        content: The checksum of the source and every option that changes the arrays; ``meta``
            repeats it.
        build: Takes a folder, may write ``.npy`` files into it, and returns more of ``meta`` and
            further arrays.

    Returns:
        The entry.
    """
    target = cache / fingerprint({"format": FORMAT, **content})[:NAME_LENGTH]
    with contextlib.suppress(FileNotFoundError):
        return load(target)

    shutil.rmtree(target, ignore_errors=True)  # a damaged one
    cache.mkdir(parents=True, exist_ok=True)
    remove_abandoned(cache)

    with tempfile.TemporaryDirectory(prefix=WRITING, dir=cache) as temporary:
        written = Path(temporary) / "entry"
        written.mkdir()
        write_entry(written, content, build)
        with contextlib.suppress(OSError):  # another process was first
            written.rename(target)
    return load(target)


def remove_abandoned(cache: Path) -> None:
    """Remove what killed writers left, but nothing that a living one may still be writing.

    Args:
        cache: The folder of all entries.
    """
    for left in cache.glob(f"{WRITING}*"):
        with contextlib.suppress(FileNotFoundError):  # a living writer has just finished
            age = time.time() - left.stat().st_mtime
            if age > ABANDONED:
                shutil.rmtree(left, ignore_errors=True)


def write_entry(folder: Path, content: Mapping[str, Any], build: Build) -> None:
    """Write the files of an entry.

    Args:
        folder: Empty, for this entry alone.
        content: What the entry is made from.
        build: Makes it, see :func:`fetch`.
    """
    found, arrays = build(folder)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)

    names = sorted(path.stem for path in folder.glob("*.npy"))
    meta = {**content, **found, "arrays": names}
    write_text(folder / "meta.json", json.dumps(meta, default=float))


def checksum(files: Mapping[str, Path], cache: Path) -> str:
    """Return one SHA-256 over names, sizes and contents of files.

    It is kept in the cache until the size or the time of change of a file differs.

    Args:
        files: By name; the names count, the folders do not.
        cache: The folder of all entries.

    Returns:
        64 hexadecimal digits.
    """
    states = {}
    sizes = {}
    for name, path in files.items():
        status = path.stat()  # before the content: a change meanwhile shows next time
        states[name] = (str(path), status.st_size, status.st_mtime_ns)
        sizes[name] = status.st_size

    def build(_: Path) -> Content:
        return {"checksum": digest(files, sizes)}, {}

    return fetch(cache, {"files": fingerprint(states)}, build).meta["checksum"]


def digest(files: Mapping[str, Path], sizes: Mapping[str, int]) -> str:
    """Return one SHA-256 over files, read whole.

    Args:
        files: By name.
        sizes: Of each, in bytes.

    Returns:
        64 hexadecimal digits.
    """
    rows = []
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        rows.append([name, sizes[name], content])
    return fingerprint(rows)
