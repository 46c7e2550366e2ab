"""How much of a run is done, and how long the rest may take by what notebooks took before."""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_MINUTE = 60


def known_seconds(*files: Path) -> dict[str, float]:
    """Return what notebooks took, by their names.

    Args:
        files: ``bundle.json`` of earlier runs; the first that knows a notebook counts.
    """
    seconds: dict[str, float] = {}
    for file in files:
        try:
            for entry in json.loads(file.read_text(encoding="utf-8"))["notebooks"]:
                seconds.setdefault(str(entry["name"]), float(entry["seconds"]))
        except (OSError, ValueError, KeyError, TypeError):  # none, or not one of ours
            continue
    return seconds


class Forecast:
    """What is left of a run; threads may ask.

    Args:
        names: Of the notebooks of the run.
        seconds: That notebooks took before, by name.
    """

    def __init__(self, names: Sequence[str], seconds: Mapping[str, float]) -> None:
        self._left = list(names)
        self._total = len(names)
        self._seconds = seconds
        self._begin = time.monotonic()
        self._lock = threading.Lock()

    def finish(self, name: str) -> None:
        """Note that a notebook is done."""
        with self._lock:
            self._left.remove(name)

    def line(self) -> str:
        """Return in words how much is done, and how long the rest may take."""
        with self._lock:
            done = self._total - len(self._left)
            seconds = self._rest(done)
        words = f"{done} of {self._total} done"
        if self._left and seconds is not None:
            words += f", about {_in_words(seconds)} left"
        return words

    def _rest(self, done: int) -> float | None:
        """Return the seconds of the rest; None while nothing tells."""
        if all(name in self._seconds for name in self._left):
            return sum(self._seconds[name] for name in self._left)
        if not done:
            return None
        return (time.monotonic() - self._begin) / done * len(self._left)


def _in_words(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / _MINUTE:.0f} min"
