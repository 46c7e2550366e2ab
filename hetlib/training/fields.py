"""What the fields of a saved run record may hold: whoever reads one wants to rely on it."""

import re
from collections.abc import Callable, Mapping
from typing import Any

# Of a run: hexadecimal digits, so that it is no path to somewhere else.
NAME = re.compile(r"[0-9a-f]{16}")

MODES = ("processes", "virtual")
TIMES = ("measured", "modelled", "")

# What an evaluation tells.
_SCORES = ("epoch", "step", "loss", "oa", "aa", "kappa")


def check(values: Mapping[str, Any]) -> None:
    """Refuse values that are no run record's.

    Args:
        values: By field, as a file holds them; fields that are missing are not looked at.

    Raises:
        ValueError: A field holds something else; the message names it.
    """
    for name, (allowed, holds) in _RULES.items():
        if name in values and not holds(values[name]):
            shown = repr(values[name])[:60]
            raise ValueError(f"`{name}` is {shown}; a run record has {allowed} there.")
    replicas = len(values.get("platform", ()))
    for name in ("shares", "speeds"):
        if len(values.get(name, ())) != replicas:
            raise ValueError(f"`{name}` has to have one value for each of {replicas} replicas.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_name(value: object) -> bool:
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def _list_of(holds: Callable[[Any], bool], least: int = 0) -> Callable[[Any], bool]:
    def is_list(value: object) -> bool:
        return isinstance(value, list) and len(value) >= least and all(map(holds, value))

    return is_list


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _is_evaluation(value: object) -> bool:
    return isinstance(value, dict) and all(_is_number(value.get(name)) for name in _SCORES)


def _is_square(value: object) -> bool:
    is_table = _list_of(_list_of(_is_count))
    if not isinstance(value, list) or not is_table(value):
        return False
    return all(len(row) == len(value) for row in value)


def _is_table_of_phases(value: object) -> bool:
    rows = _list_of(_list_of(_is_number))
    return isinstance(value, dict) and all(map(rows, value.values()))


def _is_dealing(value: object) -> bool:
    """Say whether a value is a step and the shares from there on."""
    if not isinstance(value, list) or len(value) != 2:
        return False
    step, shares = value
    return _is_count(step) and _list_of(_is_count, least=1)(shares)


def _is_clock(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


def _is_mapping_or_none(value: object) -> bool:
    return value is None or _is_mapping(value)


# By field what it holds, in words, and how that is seen.
_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "fingerprint": ("16 hexadecimal digits", _is_name),
    "experiment": ("a mapping of settings", _is_mapping),
    "platform": ("a list of replicas", _list_of(_is_mapping, least=1)),
    "mode": (f"one of {MODES}", MODES.__contains__),
    "times": (f"one of {TIMES}", TIMES.__contains__),
    "shares": ("a list of whole numbers >= 0", _list_of(_is_count, least=1)),
    "lr": ("a number", _is_number),
    "speeds": ("a list of numbers", _list_of(_is_number, least=1)),
    "epochs": (f"a list of evaluations with {', '.join(_SCORES)}", _list_of(_is_evaluation, 1)),
    "confusion": ("a square table of whole numbers >= 0", _is_square),
    "steps": ("a table of seconds for each phase", _is_table_of_phases),
    "plans": ("a list of steps with the shares from there on", _list_of(_is_dealing)),
    "started": ("a mapping of seconds", _is_clock),
    "dataset": ("a mapping", _is_mapping),
    "environment": ("a mapping", _is_mapping),
    "plan": ("a mapping, or null", _is_mapping_or_none),
}
