"""Names for what was computed from what, and files that are whole or not there."""

import hashlib
import json
import os
from pathlib import Path


def fingerprint(content: object) -> str:
    """Return the SHA-256 of ``content`` as JSON; numpy's numbers count as floats."""
    text = json.dumps(content, sort_keys=True, default=float)
    return hashlib.sha256(text.encode()).hexdigest()


def write_text(path: Path, text: str) -> Path:
    """Write a file in one move: beside its place, synced, then renamed; a kill leaves no half file.

    Args:
        path: Where the file comes to lie; missing folders are made.
        text: Its content, written as UTF-8.

    Returns:
        ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path
