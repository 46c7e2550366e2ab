"""A notebook's parameters as its first cell says that they are, also where papermill gives text.

``papermill notebook.ipynb out.ipynb -p shares '[90, 38]'`` puts the text ``[90, 38]`` in place of a
list of numbers. The first cell of each notebook tells the type of each parameter.
"""

import ast
import json
import types
import typing
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import yaml

# How a list begins: of Python and JSON, a tuple, and a list of YAML with an item a line.
_LISTS = ("[", "(", "- ")

_WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "a mapping, such as '{\"a\": 1}'",
    list: "a list",
}
_OF_LIST = {
    int: "a list of whole numbers, such as '[90, 38]'",
    float: "a list of numbers, such as '[3.0, 1.0]'",
    str: "a list of names, such as 'a,b'",
}
_TRUTH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_NOTHING = ("", "none", "null")


def read_parameters(namespace: MutableMapping[str, Any]) -> None:
    """Give each parameter of a notebook the type that its first cell tells.

    Args:
        namespace: Of the notebook; names with another type are changed there.

    Raises:
        ValueError: A parameter does not spell its type; the message names both.
    """
    for name, kind in dict(namespace.get("__annotations__", {})).items():
        if name in namespace:
            namespace[name] = typed(name, namespace[name], kind)


def typed(name: str, given: Any, kind: Any) -> Any:
    """Return a parameter's value in its type.

    Args:
        name: Of the parameter.
        given: A value of that type, or text that spells one.
        kind: bool, int, float, str, dict, list or list of these, or one of them or None; others
            are left alone.

    Raises:
        ValueError: It spells no such value.
    """
    try:
        return _value(given, kind)
    except (ValueError, TypeError, SyntaxError, RecursionError, OverflowError):
        raise ValueError(f"`{name}` is {given!r}; it must be {_words(kind)}.") from None


def _words(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if _is_union(kind):
        return " or ".join(_words(part) for part in typing.get_args(kind))
    if kind is type(None):
        return "None"
    if origin is list:
        (item,) = typing.get_args(kind)
        return _OF_LIST.get(item, "a list")
    return _WORDS.get(origin or kind, str(kind))


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (types.UnionType, typing.Union)


def _value(given: Any, kind: Any) -> Any:
    if _is_union(kind):
        return _one_of(given, typing.get_args(kind))
    origin = typing.get_origin(kind) or kind
    if origin is list:
        item = next(iter(typing.get_args(kind)), Any)
        return [_value(part, item) for part in _parts(given)]
    read = _READERS.get(origin)
    return given if read is None else read(given)


def _one_of(given: Any, kinds: tuple[Any, ...]) -> Any:
    """Return the value in the first type that it spells; None where that is one, and it says so."""
    if type(None) in kinds and (given is None or _says_nothing(given)):
        return None
    for kind in [kind for kind in kinds if kind is not type(None)]:
        try:
            return _value(given, kind)
        except (ValueError, TypeError, SyntaxError):
            continue
    raise ValueError


def _says_nothing(given: Any) -> bool:
    return isinstance(given, str) and given.strip().lower() in _NOTHING


def _parts(given: Any) -> list[Any]:
    """Return the items of a list, or of a text that spells one; one item alone is a list, too."""
    if hasattr(given, "tolist"):  # of numpy, torch and pandas
        given = given.tolist()
    if isinstance(given, (list, tuple, range)):
        return list(given)
    if given is None or _says_nothing(given):
        return []
    if not isinstance(given, str):
        return [given]
    if not given.strip().startswith(_LISTS):
        return given.replace(",", " ").split()
    found = _literal(given)
    if not isinstance(found, (list, tuple)):
        raise ValueError
    parts = list(found)
    if len(parts) == 1 and isinstance(parts[0], str):
        return parts[0].split()  # as numpy prints an array: [90 38]
    return parts


def _literal(text: str) -> Any:
    """Return what a text spells, in Python, or in YAML, which JSON is, too."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _bool(given: Any) -> bool:
    if isinstance(given, bool):
        return given
    word = str(given).strip().lower()
    if word not in _TRUTH:
        raise ValueError
    return _TRUTH[word]


def _int(given: Any) -> int:
    number = _float(given)
    if number != int(number):
        raise ValueError
    return int(given) if isinstance(given, int) else int(number)


def _float(given: Any) -> Any:
    if isinstance(given, bool) or given is None:
        raise ValueError
    return given if isinstance(given, (int, float)) else float(given)


def _str(given: Any) -> str:
    if isinstance(given, (str, Path)):
        return str(given)
    if isinstance(given, dict):
        return json.dumps(given)  # options, which a file of parameters holds as a mapping
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return str(given)  # a name of digits, which papermill takes for a number
    raise ValueError


def _dict(given: Any) -> Any:
    found = _literal(given) if isinstance(given, str) else given
    if not isinstance(found, dict):
        raise ValueError
    return found


_READERS: dict[Any, Callable[[Any], Any]] = {
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    dict: _dict,
}
