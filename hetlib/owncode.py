"""Code of the reader's own, named by text: ``module:callable``, as entry points name it.

Text travels to every process and into every record, where a function or class does not. The module
is looked for where ``python -m`` looks: in the current folder first.
"""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

# Of each module of the reader's: how it was imported, and the SHA-256 of its source then.
_imported: dict[str, tuple[object, str]] = {}

# Parameters that a keyword argument may be for.
_NAMED = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

_FORM = "'module:callable', such as 'mine:Net' for the Net of mine.py"


def is_own(name: object) -> bool:
    """Return whether a name is of the form ``module:callable``."""
    return isinstance(name, str) and ":" in name


def load_own(field: str, name: str) -> Callable[..., Any]:
    """Import what a name of the form ``module:callable`` stands for.

    Args:
        field: Of the settings, for the message.
        name: The name; dots after the colon lead to attributes of attributes.

    Returns:
        The function or class.

    Raises:
        ValueError: The name has another form, a new process could not import it, its module fails
            or has changed since it was imported, or there is no such callable in it.
    """
    module_name, _, path = name.partition(":")
    if not _is_dotted(module_name) or not _is_dotted(path):
        raise ValueError(f"`{field}` is {name!r}; it must be {_FORM}.")
    if module_name == "__main__":
        raise ValueError(
            f"`{field}` is {name!r}, and a new process cannot import it from __main__; "
            f"move it to a module, and name it as {_FORM}."
        )
    module = _import(field, name, module_name)
    _check_unchanged(field, name, module_name, module)
    return _attribute(field, name, module, path)


def search_folders() -> tuple[str, ...]:
    """Return the folders where this process looks for modules, the current one first."""
    _look_in_current_folder()
    return tuple(str(Path(folder).resolve()) for folder in sys.path if Path(folder).is_dir())


def look_in(folders: Iterable[str]) -> None:
    """Look for modules where another process does, too: this one may have started elsewhere.

    Args:
        folders: What `search_folders` returned there.
    """
    known = {str(Path(folder).resolve()) for folder in sys.path}
    new = [folder for folder in folders if folder not in known]
    if new:
        sys.path.extend(new)
        importlib.invalidate_caches()


def source_checksum(name: str) -> str:
    """Return the SHA-256 of the source that a callable of the reader's came from.

    Args:
        name: ``module:callable``, which `load_own` has imported.

    Returns:
        64 hexadecimal digits; "" where the module has no source file.
    """
    return _imported[name.partition(":")[0]][1]


def check_options(
    field: str,
    options: Mapping[str, Any],
    function: Callable[..., Any],
    given: Collection[str] = (),
    supplied: Collection[str] = (),
) -> None:
    """Refuse options that a callable does not take, and the lack of those that it needs.

    Args:
        field: Of the settings, for the message.
        options: Keyword arguments.
        function: What they are for.
        given: Arguments that it gets beside them, which no option may be.
        supplied: Arguments that it gets where no option gives them.

    Raises:
        ValueError: It takes no argument of an option's name, or needs one that is not there.
    """
    parameters = _parameters(function)
    if parameters is None:
        return
    called = getattr(function, "__name__", repr(function))
    named = [one for one in parameters if one.kind in _NAMED and one.name not in given]
    allowed = [one.name for one in named]

    refused = set(options) - set(allowed)
    if _takes_any(parameters):
        refused = set(given)
    for key in options:
        if key in refused:
            raise ValueError(
                f"`{field}`: {called} got an unexpected keyword argument {key!r}"
                f"{_meant(key, allowed)}; allowed are {allowed}."
            )
    missing = sorted(_needed(named) - {*options, *supplied})
    if missing:
        raise ValueError(f"`{field}` lacks {missing}, which {called} needs; it takes {allowed}.")


def _takes_any(parameters: Iterable[inspect.Parameter]) -> bool:
    return any(one.kind is one.VAR_KEYWORD for one in parameters)


def _needed(parameters: Iterable[inspect.Parameter]) -> set[str]:
    """Return the names of parameters without a default."""
    return {one.name for one in parameters if one.default is one.empty}


def takes(function: Callable[..., Any], argument: str) -> bool:
    """Return whether a callable has a parameter of this very name.

    Args:
        function: The callable.
        argument: The name.
    """
    return any(one.name == argument for one in _parameters(function) or ())


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """Return a callable's parameters; None for some that are written in C, which do not tell."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _meant(key: str, allowed: Collection[str]) -> str:
    close = get_close_matches(key, allowed, n=1)
    return f" (meant: {close[0]!r}?)" if close else ""


def _import(field: str, name: str, module_name: str) -> ModuleType:
    """Import a module, from the current folder where it is not installed."""
    _look_in_current_folder()
    try:
        if _is_script(module_name):
            return sys.modules["__main__"]
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"{module_name}.".startswith(f"{missing}."):
            raise ValueError(
                f"`{field}` is {name!r}, and there is no module {missing!r} in {Path.cwd()} "
                "or where Python looks; start where it lies, or install it."
            ) from None
        raise _failed(field, name, module_name, error) from error
    except Exception as error:
        raise _failed(field, name, module_name, error) from error


def _look_in_current_folder() -> None:
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
    importlib.invalidate_caches()  # a module may have been written just now


def _is_script(module_name: str) -> bool:
    """Return whether a module is the script that runs, which a second import would run again."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    if main is None or module_name in sys.modules:
        return False
    spec = importlib.util.find_spec(module_name)
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        return False
    return Path(main).is_file() and Path(main).samefile(spec.origin)


def _failed(field: str, name: str, module_name: str, error: Exception) -> ValueError:
    return ValueError(
        f"`{field}` is {name!r}, and the import of {module_name} fails: "
        f"{type(error).__name__}: {error}; mend it, or name another."
    )


def _check_unchanged(field: str, name: str, module_name: str, module: ModuleType) -> None:
    """Refuse a module whose file is another than the one imported: its record would be wrong."""
    found = _checksum(module)
    spec = getattr(module, "__spec__", None)  # another one after importlib.reload
    known = _imported.get(module_name)
    if known is None or known[0] is not spec:
        _imported[module_name] = (spec, found)
    elif known[1] != found:
        raise ValueError(
            f"`{field}` is {name!r}, and {module.__file__} has changed since it was imported; "
            "start Python, or the replicas, again."
        )


def _checksum(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    if file is None or not Path(file).is_file():
        return ""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _attribute(field: str, name: str, module: ModuleType, path: str) -> Callable[..., Any]:
    """Return what a dotted path leads to, which must be callable."""
    found: Any = module
    for part in path.split("."):
        if not hasattr(found, part):
            there = [key for key, value in vars(module).items() if _is_offered(key, value)]
            raise ValueError(
                f"`{field}` is {name!r}, and {module.__name__} has no {path!r}"
                f"{_meant(path, there)}; it has {there}."
            )
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(
            f"`{field}` is {name!r}, which is no function or class, but {type(found).__name__}; "
            "name one."
        )
    return found


def _is_offered(key: str, value: object) -> bool:
    return callable(value) and not key.startswith("_")
