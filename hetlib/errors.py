"""Errors that a caller may want to catch, and the checks that most settings need.

Each message says what was got, what is allowed, and what to do next.
"""

import importlib
from collections.abc import Collection
from types import ModuleType


class PlanError(ValueError):
    """No plan fits: no choice of replicas takes the global batch within the bounds."""


class ReplicaError(RuntimeError):
    """A replica failed or died; the message names it and says how."""


class DatasetNotFoundError(FileNotFoundError):
    """A data set is not where it was looked for; the message says where, and how to get it."""


class MissingDependencyError(ImportError):
    """A package that this part of hetlib needs is not installed; the message names the extra."""


def one_of(name: str, value: object, allowed: Collection[object]) -> None:
    """Refuse a value that is not among those allowed.

    Args:
        name: Of the argument, for the message.
        value: What was given.
        allowed: What may be given.

    Raises:
        ValueError: ``value`` is none of ``allowed``.
    """
    if value not in allowed:
        raise ValueError(f"`{name}` is {value!r}; allowed are {list(allowed)}.")


def at_least(name: str, value: object, least: int) -> None:
    """Refuse what is not a whole number of a least size; ``True`` and ``False`` are none.

    Args:
        name: Of the argument, for the message.
        value: What was given.
        least: Smallest number allowed.

    Raises:
        ValueError: ``value`` is no whole number, or below ``least``.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < least:  # type: ignore[operator]
        raise ValueError(f"`{name}` is {value!r}; it must be a whole number >= {least}.")


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
            f"install it with: pip install 'hetlib[{extra}]'",
            name=package,
        ) from None
