"""A kept value as a file of JSON lines: what made it, the value, and one line a run record.

So a run is found by its fingerprint, and a change of one run is a change of one line.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from hetlib.environment import environment
from hetlib.files import write_text
from hetlib.reading import read_text
from hetlib.training.records import RunRecord
from hetlib_bundle.kept.codec import decode, encode

# Lines before the first run record: what made the value, and the value.
HEAD = 2

# What the first line tells.
HEAD_FIELDS = ("date", "profile", "parameters", "environment")


class Kept(NamedTuple):
    """What a file of a kept value holds."""

    # What made it: date, profile, parameters, environment.
    head: dict[str, Any]

    value: Any

    # Those in the value, in its order.
    runs: list[RunRecord]


def write(
    path: Path,
    value: Any,
    *,
    profile: str,
    parameters: Mapping[str, Any],
    records: Path,
) -> None:
    """Write a value with what made it.

    Args:
        path: Of the file.
        value: Of types that `.codec.encode` knows.
        profile: Size that it was made at.
        parameters: Of the notebook, which decide the value beside the profile.
        records: Folder that the run records are written to, one by one.
    """
    runs: list[RunRecord] = []
    plain = encode(value, runs)
    head = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "profile": profile,
        "parameters": dict(parameters),
        "environment": environment(),
    }
    written = [_as_line(head), _as_line(plain)]
    for run in runs:
        saved = run.save(records)
        written.append(saved.read_text(encoding="utf-8"))
    write_text(path, "\n".join([*written, ""]))


def _as_line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def read(path: Path) -> Kept:
    """Return what made a kept value, the value, and the run records in it.

    Args:
        path: Of a file that `write` wrote.

    Raises:
        ValueError: The file is damaged; the message names it and the line.
    """
    lines = _lines(path)
    head = _parsed(path, 1, lines[0], _mapping)
    runs = []
    for number, line in enumerate(lines[HEAD:], HEAD + 1):
        runs.append(_parsed(path, number, line, RunRecord.from_dict))
    value = _parsed(path, HEAD, lines[HEAD - 1], partial(decode, runs=runs))
    return Kept(head, value, runs)


def read_head(path: Path) -> dict[str, Any]:
    """Return what made a kept value, without the value.

    Args:
        path: Of a file that `write` wrote.

    Raises:
        ValueError: The file is damaged; the message names it and the line.
    """
    head: dict[str, Any] = _parsed(path, 1, _lines(path)[0], _mapping)
    return head


def record_lines(path: Path) -> Iterator[str]:
    """Yield the run records of a kept value as JSON.

    Args:
        path: Of a file that `write` wrote.

    Raises:
        ValueError: The file is damaged; the message names it.
    """
    yield from _lines(path)[HEAD:]


def _lines(path: Path) -> list[str]:
    try:
        lines = read_text(path, "kept value").splitlines()
    except ValueError as error:
        raise _damaged(path, 1, error) from None
    if len(lines) < HEAD:
        raise _damaged(path, len(lines) + 1, "the file ends before it")
    return lines


def _mapping(plain: Any) -> dict[str, Any]:
    missing = [name for name in HEAD_FIELDS if not isinstance(plain, dict) or name not in plain]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing in what made the value")
    return dict(plain)


def _parsed(path: Path, number: int, line: str, build: Callable[[Any], Any]) -> Any:
    """Return what ``build`` makes of a line of JSON."""
    try:
        return build(json.loads(line))
    except Exception as error:  # whatever a wrong shape leads to
        raise _damaged(path, number, error) from error


def _damaged(path: Path, number: int, why: object) -> ValueError:
    return ValueError(
        f"{path}, line {number}: not what was kept there ({why}); take the file from the "
        'repository again, or compute it anew with source="computed".'
    )
