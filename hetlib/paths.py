"""Absolute paths, so that notebooks and commands run alike from any folder."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # the clone
DATA = ROOT / "data"  # embedded scenes
NOTEBOOKS = ROOT / "notebooks"
RESULTS = Path(os.environ.get("HETLIB_RESULTS", ROOT / "results")).resolve()
_CACHES = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
CACHE = Path(os.environ.get("HETLIB_CACHE") or _CACHES / "hetlib").resolve()


def extra_data() -> Path | None:
    """Return the folder named by ``HETLIB_DATA`` when it exists, else ``None``."""
    folder = os.environ.get("HETLIB_DATA")
    return Path(folder).resolve() if folder and Path(folder).is_dir() else None
