"""Whether a cache entry is as it was written: checksums of its files and of what is known."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hetlib.datasets.storage import describe
from hetlib.files import fingerprint

# Where ``meta.json`` holds the checksum of the rest of it.
SEAL = "seal"

# Files whose content this process has checked: path, size, times and place on the disk.
_checked: set[tuple[Any, ...]] = set()


def check_meta(meta: Mapping[str, Any], name: str) -> None:
    """Refuse what is known about an entry where it is another's, or not as it was written.

    Args:
        meta: As read.
        name: Of the entry.

    Raises:
        ValueError: It is not what was written for this entry.
    """
    rest = {key: value for key, value in meta.items() if key != SEAL}
    if meta[SEAL] != seal(rest, name):
        raise ValueError("meta.json is not as it was written")


def seal(meta: Mapping[str, Any], name: str) -> str:
    """Return a checksum of what is known about an entry.

    Args:
        meta: What is known, as JSON gives it back.
        name: Of the entry.
    """
    return fingerprint([name, meta])


def check_file(path: Path, written: Mapping[str, Any]) -> None:
    """Refuse a file of an entry that is not as it was written; it is read once a process.

    Args:
        path: The file.
        written: What `describe` said of it.

    Raises:
        ValueError: It is another.
    """
    state = (str(path), *state_of(path))
    if state in _checked:
        return
    if describe(path) != written:
        raise ValueError(f"{path.name} is not as it was written")
    _checked.add(state)


def state_of(path: Path) -> tuple[int, ...]:
    """Return what differs when a file has changed: size, times, and where it lies on the disk.

    The time of change is kept by copies (``cp -p``, ``rsync -t``); the other time is the system's.

    Args:
        path: The file.
    """
    status = path.stat()
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
