"""Names for what was computed from what, and files that are whole or not there."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

# What a full disk, or a full share of one, says.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Characters of a file's name that its copy beside keeps: file systems take names of 255 bytes.
_LONGEST = 48


def fingerprint(content: object) -> str:
    """Return the SHA-256 of ``content`` as JSON; numpy's numbers count as floats."""
    text = json.dumps(content, sort_keys=True, default=float)
    return hashlib.sha256(text.encode()).hexdigest()


def write_text(path: Path, text: str) -> Path:
    """Write a file in one move: beside its place, synced, then renamed; a kill leaves no half file.

    Several processes and threads may write one file: the last one's stays.

    Args:
        path: Where the file comes to lie; missing folders are made.
        text: Its content, written as UTF-8.

    Returns:
        ``path``.

    Raises:
        OSError: It cannot be written; the message names it, and says so where the disk is full.
    """
    with full_disk_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # a name of its own: processes of two machines may have one number, and threads have
        beside = path.with_name(f".{path.name[:_LONGEST]}.{secrets.token_hex(8)}")
        try:
            with beside.open("x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    return path


@contextlib.contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Let an error by a full disk say so, and name the file.

    Args:
        path: What is written in the block.

    Raises:
        OSError: The disk is full; other errors stay as they are.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise OSError(
            error.errno,
            f"the disk is full, or a limit of it is reached, and this file could not be written "
            f"({os.strerror(error.errno)}); make room and start again, what is finished is kept",
            str(path),
        ) from error
