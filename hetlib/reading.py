"""Text files that a user wrote: each error names the file, and the line where there is one.

Files are looked at before they are read: a folder, a device and a file larger than any of its kind
are refused, so nothing is read for ever. YAML and JSON that name a key twice are refused too, where
the parsers would silently take the last one.
"""

import csv
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from io import StringIO
from typing import Any

from hetlib.errors import from_file, require
from hetlib.inputs import path as checked_path

AnyPath = str | os.PathLike[str]

# Bytes of a file of settings; an experiment of a thousand replicas takes a twentieth of it.
MOST_SETTINGS = 4 * 2**20

# Bytes of a file of records or a table.
MOST_TEXT = 2**30

# Values of a YAML file whose names for parts of it (``&gpu``, ``*gpu``) are written out.
MOST_VALUES = 100_000

# ``1e-3`` is a number for everybody but YAML 1.1, which asks for a point.
_FLOAT_WITHOUT_POINT = re.compile(r"[-+]?\d+[eE][-+]?\d+")


def read_text(path: AnyPath, what: str = "file", most: int = MOST_TEXT) -> str:
    """Read a file of text.

    Args:
        path: Of the file, in UTF-8.
        what: The kind of file, for messages, such as ``"platform file"``.
        most: Bytes that it may have.

    Returns:
        Its content, with line ends as Python has them, without a byte order mark.

    Raises:
        ValueError: It is not there, no ordinary file, too large, or no UTF-8.
    """
    file = checked_path(what, path)
    try:
        found = file.stat()
    except OSError as error:
        raise from_file(file, _reason(error), what=what) from None
    if not stat.S_ISREG(found.st_mode):
        raise from_file(file, "a folder or device; it must be an ordinary file.", what=what)
    if found.st_size > most:
        size = f"{found.st_size:,} bytes; it may have {most:,} at most."
        raise from_file(file, size, what=what)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise from_file(file, _reason(error), what=what) from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"no text in UTF-8 ({error.reason}); save it as UTF-8."
        raise from_file(file, problem, line, what=what) from None
    return text.replace("\r\n", "\n")


def read_yaml(path: AnyPath, what: str = "file") -> Any:
    """Read a file of settings.

    Args:
        path: Of the file.
        what: The kind of file, for messages.

    Returns:
        Its content: mappings, lists, text and numbers; ``None`` where it is empty.

    Raises:
        ValueError: It cannot be read, is no YAML, or has a key twice; with file and line.
        MissingDependencyError: PyYAML is not installed.
    """
    yaml = require("yaml", "cli")
    text = read_text(path, what, MOST_SETTINGS)
    try:
        content = yaml.load(text, Loader=_loader())  # derived from the safe one
        _require_tree(content)
    except yaml.MarkedYAMLError as error:
        problem = f"no file of valid YAML ({error.problem})"
        raise from_file(path, _mended(problem), _line(error, text), what=what) from None
    except RecursionError:
        raise from_file(path, "nested too deep, or within itself.", what=what) from None
    except ValueError as error:  # a date or number that is none, or too much of it
        raise from_file(path, _mended(f"no file of valid YAML ({error})"), what=what) from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        problem = f"no file of valid YAML ({getattr(error, 'reason', error)})"
        raise from_file(path, _mended(problem), line, what=what) from None
    return content


def read_json(path: AnyPath, what: str = "file") -> Any:
    """Read a file of JSON.

    Args:
        path: Of the file.
        what: The kind of file, for messages.

    Returns:
        Its content.

    Raises:
        ValueError: It cannot be read, is no JSON, or has a key twice; with file and line.
    """
    text = read_text(path, what)
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except json.JSONDecodeError as error:
        problem = f"no valid JSON ({error.msg})."
        raise from_file(path, problem, error.lineno, what=what) from None
    except RecursionError:
        raise from_file(path, "nested too deep.", 1, what=what) from None
    except ValueError as error:
        raise from_file(path, f"no valid JSON ({error}).", 1, what=what) from None


def read_csv(
    path: AnyPath, columns: Sequence[str], what: str = "table"
) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a table with a head, its cells parted by commas.

    Args:
        path: Of the file.
        columns: Names that the head must have; it may have more.
        what: The kind of file, for messages.

    Yields:
        The number of a line, from 1, and its cells by column.

    Raises:
        ValueError: The file cannot be read, a column is missing, or a row has another number of
            cells than the head; with file and line.
    """
    rows = csv.reader(StringIO(read_text(path, what)), strict=True)
    head: list[str] | None = None
    try:
        for row in rows:
            line = rows.line_num
            if not row:
                continue
            if head is None:
                head = row
                _require_columns(head, columns, path, what)
                continue
            if len(row) != len(head):
                problem = f"{len(row)} cells; the head has {len(head)}."
                raise from_file(path, problem, line, what=what)
            yield line, dict(zip(head, row, strict=True))
    except csv.Error as error:
        raise from_file(path, f"no row of a table ({error}).", rows.line_num, what=what) from None
    if head is None:
        raise from_file(path, f"empty; it needs the columns {list(columns)}.", what=what)


def _require_columns(head: Sequence[str], columns: Sequence[str], path: AnyPath, what: str) -> None:
    missing = [name for name in columns if name not in head]
    if missing:
        raise from_file(path, f"no column {missing}; its head is {head}.", 1, what=what)
    if len(set(head)) < len(head):
        raise from_file(path, f"a column twice; its head is {head}.", 1, what=what)


def _reason(error: OSError) -> str:
    return f"it cannot be read ({error.strerror or error})."


def _mended(problem: str) -> str:
    return f"{problem}; mend it."


def _line(error: Any, text: str) -> int | None:
    """Return the line of an error of PyYAML, from 1; what is missing at the end is on the last."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return None
    lines = text.count("\n") + 1
    return int(min(mark.line + 1, lines))


def _without_doubles(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {double!r} is there twice")
    return content


@lru_cache(maxsize=1)
def _loader() -> Any:
    """Return PyYAML's safe loader, which here refuses a key twice and knows ``1e-3``."""
    yaml = require("yaml", "cli")
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):
        """The safe loader, stricter."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            """Return a mapping whose keys are there once."""
            seen = set()
            for key, _ in node.value:
                name = (key.tag, str(key.value))
                if name in seen:
                    problem = f"the key {key.value!r} is there twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(name)
            return super().construct_mapping(node, deep=deep)

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", _FLOAT_WITHOUT_POINT, list("-+0123456789")
    )
    return Loader


def _require_tree(content: Any) -> None:
    """Raise ``ValueError`` for what has too many values once its names are written out.

    Raises:
        ValueError: There are more than `MOST_VALUES`.
        RecursionError: A part holds itself.
    """
    if _values(content, {}) > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES:,} values, with the names for parts written out")


def _values(content: Any, known: dict[int, int]) -> int:
    """Return how many values a content has; a part that is there many times is counted once.

    Args:
        content: Of a file.
        known: Values of the parts that were counted, by their identity.
    """
    if not isinstance(content, (list, Mapping)):
        return 1
    if id(content) not in known:
        parts = content.values() if isinstance(content, Mapping) else content
        known[id(content)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(content)]
