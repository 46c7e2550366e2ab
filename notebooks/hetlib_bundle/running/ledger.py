"""``bundle.json``: how each notebook went, and what it all ran on; written anew after each one."""

import importlib.metadata
import json
import os
import platform
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from hetlib.files import write_text

# Whose versions the page names.
PACKAGES = ("torch", "torchvision", "numpy", "pandas", "matplotlib", "rasterio", "papermill")


class Entry(TypedDict):
    """How one notebook went."""

    name: str

    # "succeeded" or "failed".
    status: str

    # Of the whole notebook.
    seconds: float

    # Most memory of all processes together, in MB.
    peak_pss_mb: int

    # Date and time of its end, in UTC.
    finished: str

    # Where it failed: the number of the code cell, and the error in one line.
    cell: NotRequired[int]
    error: NotRequired[str]

    # SHA-256 of all that it was made from.
    source: NotRequired[str]


class Ledger:
    """The entries of a folder of results, in the order of the notebooks.

    Entries of earlier calls are kept. Threads may write.

    Attributes:
        path: Of the file.
        entries: How each notebook went, by its name.
    """

    def __init__(self, path: Path, order: Sequence[str], *, timed: bool) -> None:
        """Read the entries that there are.

        Args:
            path: Of the file, in the folder of results that the file is about.
            order: Names of all notebooks.
            timed: The seconds from now are those of the whole bundle. Otherwise the sum over the
                notebooks stands in, since they ran at different times.
        """
        self.path = path
        self.entries: dict[str, Entry] = _entries(path)
        self._order = tuple(order)
        self._begin = time.perf_counter() if timed else None
        self._lock = threading.Lock()

    def read(self) -> dict[str, Any]:
        """Return what the file holds."""
        summary: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return summary

    def add(self, entry: Entry) -> None:
        """Put a notebook's entry in place of an earlier one, and write the file."""
        with self._lock:
            self.entries[entry["name"]] = entry
            text = json.dumps(self._summary(), indent=1)
            write_text(self.path, text + "\n")

    def _summary(self) -> dict[str, Any]:
        """Return the entries, and beside them what they have in common."""
        entries = [self.entries[name] for name in self._order if name in self.entries]
        if self._begin is None:
            seconds = sum(entry["seconds"] for entry in entries)
        else:
            seconds = time.perf_counter() - self._begin

        versions = {"python": platform.python_version()}
        for name in PACKAGES:
            versions[name] = importlib.metadata.version(name)

        return {
            "profile": self.path.parent.name,
            "date": now(),
            "seconds": round(seconds, 1),
            "peak_pss_mb": max(entry["peak_pss_mb"] for entry in entries),
            "cores": os.cpu_count(),
            "system": platform.system(),
            "versions": versions,
            "notebooks": entries,
        }


def _entries(path: Path) -> dict[str, Entry]:
    """Return the entries of a file by their names; none where it is damaged or missing."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["notebooks"]
        entries = {}
        for entry in found:
            if not Entry.__required_keys__ <= entry.keys():
                return {}
            entries[entry["name"]] = entry
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return entries


def now() -> str:
    """Return date and time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
