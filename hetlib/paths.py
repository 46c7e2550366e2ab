"""Absolute paths, so that notebooks and commands run alike from any folder."""

from os import getenv
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data"  # embedded scenes
CACHE = Path(getenv("HETLIB_CACHE") or Path(getenv("XDG_CACHE_HOME") or "~/.cache", "hetlib")).expanduser().resolve()


def extra_data() -> Path | None:
    """Return the folder named by ``HETLIB_DATA`` when it exists, else ``None``."""
    folder = getenv("HETLIB_DATA")
    return Path(folder).resolve() if folder and Path(folder).is_dir() else None
