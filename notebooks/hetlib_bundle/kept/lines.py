"""A kept value as a file of JSON lines: what made it, the value, and one line a run record.

So a run is found by its fingerprint, and a change of one run is a change of one line.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from hetlib.environment import environment
from hetlib.files import write_text
from hetlib.training.records import RunRecord
from hetlib_bundle.kept.codec import decode, encode

# Lines before the first run record: what made the value, and the value.
HEAD = 2


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
    """
    head, plain, *records = path.read_text(encoding="utf-8").splitlines()
    runs = [RunRecord(**json.loads(line)) for line in records]
    return Kept(json.loads(head), decode(json.loads(plain), runs), runs)


def read_head(path: Path) -> dict[str, Any]:
    """Return what made a kept value, without reading it.

    Args:
        path: Of a file that `write` wrote.
    """
    with path.open(encoding="utf-8") as file:
        head: dict[str, Any] = json.loads(file.readline())
    return head


def record_lines(path: Path) -> Iterator[str]:
    """Yield the run records of a kept value as JSON.

    Args:
        path: Of a file that `write` wrote.
    """
    yield from path.read_text(encoding="utf-8").splitlines()[HEAD:]
