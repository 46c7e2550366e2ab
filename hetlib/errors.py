"""Errors that a caller may want to catch, and the words of those about arguments and files.

Each message says what was got, what is allowed, and what to do next.
"""

import importlib
import os
import reprlib
from types import ModuleType

# Characters of a value that a message shows; what is wrong with it is seen within them.
_SHOWN = 100
_SHOWN_ITEMS = 20
# above this a number's digits say nothing, and Python may refuse to write them
_SHOWN_BITS = 200


class PlanError(ValueError):
    """No plan fits: no choice of replicas takes the global batch within the bounds."""


class ReplicaError(RuntimeError):
    """A replica failed or died; the message names it and says how."""


class DatasetNotFoundError(FileNotFoundError):
    """A data set is not where it was looked for; the message says where, and how to get it."""


class MissingDependencyError(ImportError):
    """A package that this part of hetlib needs is not installed; the message names the extra."""


class _Shortened(reprlib.Repr):
    """Values as messages show them: short, on one line, and never an error of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = _SHOWN
        self.maxother = _SHOWN
        for kind in ("maxlist", "maxtuple", "maxdict", "maxset", "maxfrozenset", "maxdeque"):
            setattr(self, kind, _SHOWN_ITEMS)

    def repr_int(self, value: int, level: int) -> str:
        """Write a number, or how large it is."""
        bits = value.bit_length()
        if bits > _SHOWN_BITS:
            return f"a whole number of {bits} bits"
        return repr(value)


_SHORTENED = _Shortened()


def shown(value: object) -> str:
    """Return a value as a message shows it: its ``repr``, on one line, shortened when it is long.

    Args:
        value: Whatever was given.
    """
    line = " ".join(_SHORTENED.repr(value).split())
    if len(line) > 3 * _SHOWN:
        return f"{line[: 3 * _SHOWN]}..."
    return line


def wrong(name: str, value: object, words: str, step: str = "") -> ValueError:
    """Return the error for an argument: what was got, what is allowed, and the next step.

    Args:
        name: Of the argument or field.
        value: What was given.
        words: What it must be, such as ``"a whole number >= 1"``.
        step: What to do next, a sentence; empty: nothing beyond giving what is allowed.

    Returns:
        The error, for the caller to raise.
    """
    message = f"`{name}` is {shown(value)}; it must be {words}."
    return ValueError(f"{message} {step}".rstrip())


def from_file(
    path: str | os.PathLike[str],
    problem: object,
    line: int | None = None,
    *,
    what: str = "file",
) -> ValueError:
    """Return the error for what a file holds, with its name and line.

    Args:
        path: Of the file.
        problem: What is wrong with it: a sentence, or another error with one.
        line: In the file, from 1; ``None``: the file as a whole.
        what: The kind of file, such as ``"platform file"``.

    Returns:
        The error, for the caller to raise.
    """
    place = f"{what} {os.fspath(path)!r}"
    if line is not None:
        place = f"{place}, line {line}"
    return ValueError(f"{place}: {problem}")


def require(module: str, extra: str) -> ModuleType:
    """Import a module that only an extra of hetlib brings.

    Args:
        module: Its name, such as ``"rasterio"``.
        extra: The extra that brings it, such as ``"data"``.

    Returns:
        The module.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name != package:
            raise
        raise MissingDependencyError(
            f"this needs the package {package}, which is not installed; "
            f"install it, in the clone, with: pip install '.[{extra}]'",
            name=package,
        ) from None
