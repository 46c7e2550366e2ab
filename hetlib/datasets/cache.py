"""Arrays decoded once and memory-mapped by every process that needs them.

An entry is a folder of ``.npy`` and other files and a ``meta.json``, named by the fingerprint of
what it was made from. It is written beside its place and renamed: a killed writer leaves no half
entry, two writers do no harm. An entry that is damaged in any way is made again: ``meta.json``
carries the checksums of all files and its own.
"""

import atexit
import contextlib
import hashlib
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from hetlib.datasets.cache_folder import default_folder
from hetlib.datasets.seals import SEAL, check_file, check_meta, seal, state_of
from hetlib.datasets.storage import CacheError, describe, save_array, sync, writing
from hetlib.files import fingerprint, write_text

# Part of every fingerprint: raise it when the content of an entry changes.
FORMAT = 5

# Characters of a fingerprint that name an entry's folder.
NAME_LENGTH = 24

# Entries are written into folders of this name first.
WRITING = ".writing-"

# Seconds after which a folder that is still being written is taken for a killed writer's.
ABANDONED = 86_400

# Ending of the files that hold arrays.
ARRAY = ".npy"

# The temporary folder of entries for which the cache has no space, once there is one.
_instead: list[Path] = []

# What is known about an entry, and its arrays by name.
Content: TypeAlias = tuple[dict[str, Any], dict[str, np.ndarray]]
Build: TypeAlias = Callable[[Path], Content]


# The folder of all entries, unless a data set is told another.
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


def load(folder: Path, name: str | None = None) -> Entry:
    """Map an entry.

    Args:
        folder: Of the entry itself.
        name: Of the entry that it must be; None is that of the folder.

    Returns:
        The entry; its arrays are read where they are used.

    Raises:
        FileNotFoundError: There is none or it is damaged; :func:`fetch` then makes it again.
    """
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        check_meta(meta, name or folder.name)
        for file, written in meta["files"].items():
            check_file(folder / file, written)
        paths = [folder / file for file in meta["files"] if file.endswith(ARRAY)]
        arrays = {path.stem: np.load(path, mmap_mode="r") for path in paths}
    except Exception as error:  # a damaged file makes a reader raise anything
        remedy = "open the data set again, with free space there or another `cache=`"
        raise FileNotFoundError(
            f"The cache entry {folder} is missing or damaged ({error}); {remedy}."
        ) from error
    return Entry(arrays, meta, folder)


def fetch(cache: Path, content: Mapping[str, Any], build: Build) -> Entry:
    """Map the entry made from ``content``, and make it first where it is missing.

    Where the cache is full or must not be written to, the entry is made in a temporary folder,
    which ends with the process; a warning says so.

    Args:
        cache: The folder of all entries.
        content: The checksum of the source and every option that changes the arrays; ``meta``
            repeats it.
        build: Takes a folder, may write ``.npy`` and other files into it, and returns more of
            ``meta`` and further arrays.

    Returns:
        The entry.

    Raises:
        CacheError: Neither folder has space for it.
    """
    name = fingerprint({"format": FORMAT, **content})[:NAME_LENGTH]
    for folder in (cache, *_instead):
        with contextlib.suppress(FileNotFoundError):
            return load(folder / name)
    try:
        return make(cache, name, content, build)
    except CacheError as error:
        instead = folder_instead()
        warnings.warn(f"{error}. {instead} is used instead.", stacklevel=2)
        return make(instead, name, content, build)


def folder_instead() -> Path:
    """Return a temporary folder for entries, which is removed when the process ends."""
    if not _instead:
        folder = tempfile.mkdtemp(prefix="hetlib-cache-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _instead.append(Path(folder))
    return _instead[0]


def make(cache: Path, name: str, content: Mapping[str, Any], build: Build) -> Entry:
    """Make an entry beside its place and move it there.

    Args:
        cache: The folder of all entries.
        name: Of the entry.
        content: What it is made from.
        build: Makes it, see :func:`fetch`.

    Returns:
        The entry.

    Raises:
        CacheError: The folder has no space for it.
    """
    target = cache / name
    with writing(cache):
        remove_damaged(target)
        cache.mkdir(parents=True, exist_ok=True)
        remove_abandoned(cache)
        temporary = tempfile.TemporaryDirectory(prefix=WRITING, dir=cache)

    with temporary:
        written = Path(temporary.name) / "entry"
        written.mkdir()
        write_entry(written, name, content, build)
        with contextlib.suppress(OSError):  # another process was first
            written.rename(target)
    return load(target)


def remove_damaged(target: Path) -> None:
    """Remove what lies in place of an entry, where anything does.

    Args:
        target: The entry's place.
    """
    if target.is_symlink() or target.is_file():
        target.unlink(missing_ok=True)
    else:
        shutil.rmtree(target, ignore_errors=True)


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


def write_entry(folder: Path, name: str, content: Mapping[str, Any], build: Build) -> None:
    """Write the files of an entry.

    Args:
        folder: Empty, for this entry alone.
        name: Of the entry.
        content: What the entry is made from.
        build: Makes it, see :func:`fetch`.

    Raises:
        CacheError: The disk has no space for it.
    """
    found, arrays = build(folder)
    for array, values in arrays.items():
        save_array(folder / f"{array}{ARRAY}", values)

    written = {}
    for path in sorted(folder.iterdir()):
        with writing(path):
            sync(path)
        written[path.name] = describe(path)
    text = json.dumps({**content, **found, "files": written}, default=float)
    meta = json.loads(text)
    meta[SEAL] = seal(meta, name)
    with writing(folder):
        write_text(folder / "meta.json", json.dumps(meta))


def checksum(files: Mapping[str, Path], cache: Path) -> str:
    """Return one SHA-256 over names, sizes and contents of files.

    It is kept in the cache until a file's size, a time of its change or its place on the disk
    differs.

    Args:
        files: By name; the names count, the folders do not.
        cache: The folder of all entries.

    Returns:
        64 hexadecimal digits.
    """
    states = {}
    sizes = {}
    for name, path in files.items():
        state = state_of(path)  # before the content: a change meanwhile shows next time
        states[name] = (str(path), *state)
        sizes[name] = state[0]

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
