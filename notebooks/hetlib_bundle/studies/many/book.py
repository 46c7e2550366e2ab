"""A file of finished work, one JSON line each, which grows and is never computed twice.

The first line says what made it, as in every kept file. A line that a killed writer left half is
dropped when the file is opened.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hetlib.environment import environment
from hetlib.files import fingerprint, write_text
from hetlib_bundle import paths
from hetlib_bundle.kept.source import resolve

# Characters of a fingerprint that name a piece of work.
KEY_LENGTH = 12

# Significant digits of a number that is kept.
DIGITS = 5

# Folder of the books below that of a profile.
FOLDER = "many"


class Book:
    """Finished pieces of work by what they are.

    Attributes:
        path: Of the file.
        computing: Whether what is missing is computed; else it stays missing.
    """

    def __init__(self, path: Path, *, computing: bool, profile: str = "") -> None:
        """Open a book, and begin it where there is none.

        Args:
            path: Of the file.
            computing: Whether what is missing is computed.
            profile: Size, for the first line.
        """
        self.path = path
        self.computing = computing
        self.head: dict[str, Any] = {}
        self._found: dict[str, dict[str, Any]] = {}
        if path.exists():
            self._read()
        elif computing:
            self.head = {
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "profile": profile,
                "parameters": {},
                "environment": environment(),
            }
            write_text(path, _line(self.head))

    def _read(self) -> None:
        text = self.path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if self.computing and whole != text:
            write_text(self.path, whole)
        head, *lines = whole.splitlines()
        self.head = json.loads(head)
        for line in lines:
            entry = json.loads(line)
            self._found[entry["key"]] = entry

    def __len__(self) -> int:
        return len(self._found)

    def find(self, work: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what is kept of a piece of work, None where nothing is.

        Args:
            work: All that decides its result, of types that JSON knows.
        """
        return self._found.get(key_of(work))

    def get(
        self, work: Mapping[str, Any], compute: Callable[[], Mapping[str, Any]]
    ) -> dict[str, Any] | None:
        """Return a piece of work: as it is kept, or computed now and kept.

        Args:
            work: All that decides its result, of types that JSON knows; it is kept beside it.
            compute: Returns the result: numbers, lists and dictionaries.

        Returns:
            The work and its result; None where it is missing and nothing is computed.
        """
        known = self.find(work)
        if known is not None or not self.computing:
            return known
        result = shortened(compute())
        entry = {"key": key_of(work), **work, **result}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(entry))
            file.flush()
        # as it will be read: tuples are lists
        kept: dict[str, Any] = json.loads(_line(entry))
        self._found[entry["key"]] = kept
        return kept


def key_of(work: Mapping[str, Any]) -> str:
    """Return the name of a piece of work.

    Args:
        work: All that decides its result.
    """
    return fingerprint(dict(work))[:KEY_LENGTH]


def shortened(value: Any) -> Any:
    """Return a value with its numbers cut to `DIGITS` digits.

    Args:
        value: Numbers, lists and dictionaries, also of numpy.
    """
    if isinstance(value, Mapping):
        return {name: shortened(part) for name, part in value.items()}
    if hasattr(value, "tolist"):
        return shortened(value.tolist())
    if isinstance(value, list | tuple):
        return [shortened(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    return value


def _line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


def open_book(name: str, profile: str = "", source: str = "") -> Book:
    """Open the book of a recipe.

    Args:
        name: Of the file, without an ending.
        profile: Size; empty: quick, or standard where records are read.
        source: "computed" or "recorded"; empty: ``HETLIB_SOURCE``, or computed.

    Raises:
        ValueError: An unknown source.
    """
    profile, source = resolve(profile, source)
    computing = source == "computed"
    folder = paths.RESULTS if computing else paths.RECORDED
    path = folder / profile / FOLDER / f"{name}.jsonl"
    return Book(path, computing=computing, profile=profile)


def open_record(name: str, profile: str) -> Book:
    """Open a book of the clone's records, to go on with it.

    Args:
        name: Of the file, without an ending.
        profile: Size.
    """
    path = paths.RECORDED / profile / FOLDER / f"{name}.jsonl"
    return Book(path, computing=True, profile=profile)
