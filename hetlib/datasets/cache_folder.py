"""Where the cache lies: in the user's cache folder, or else among the temporary files."""

import os
import tempfile
from pathlib import Path


def default_folder() -> Path:
    """Return the folder of all entries: ``HETLIB_CACHE``, else ``hetlib`` in the user's cache.

    Where there is no home, or no file can be made there, it is one of the user's among the
    temporary files.
    """
    ours = os.getenv("HETLIB_CACHE")
    everybodys = os.getenv("XDG_CACHE_HOME") or "~/.cache"
    try:
        folder = Path(ours or Path(everybodys, "hetlib")).expanduser().resolve()
    except RuntimeError:  # no home: a user that no file of the system knows
        return _temporary_folder()
    if ours or _is_writable(folder):
        return folder
    return _temporary_folder()


def _is_writable(folder: Path) -> bool:
    """Say whether files can be made in a folder, or the folder itself."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)


def _temporary_folder() -> Path:
    """Return this user's folder among the temporary files, not one that another user made."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir(), f"hetlib-cache-of-{user}")
    if folder.exists() and hasattr(os, "getuid") and folder.lstat().st_uid != user:
        return Path(tempfile.gettempdir(), f"hetlib-cache-of-{user}-{os.getpid()}")
    return folder
