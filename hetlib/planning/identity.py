"""What tells a function from another one, in words that are the same in every process.

Never an address, and never the order of a set: a stored plan is looked up by these words.
"""

import dis
import functools
import itertools
import types
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from hetlib.plain import plain

# What its ``repr`` tells whole.
_TOLD = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), torch.dtype)

# What an object's attribute may be to be told of; of another one the class is.
_OF_OBJECTS = (*_TOLD, tuple, types.FunctionType, functools.partial)

# Packages whose functions name none of the caller's globals.
_WITHOUT = ("torch", "numpy")

# Things that are looked at, the nearest first: 0.1 s.
_MOST = 1000

# Of a container that are looked at: a data set may be among them.
_ENTRIES = 1000


def function_text(function: Any) -> str:
    """Return what tells a function from another one: its code, and what that goes by.

    That are its defaults, what it was bound to, the variables around it and the globals that it
    names: numbers and texts, containers of them, and functions in turn. Of an object it is the
    class and such attributes, of an array the shape.

    Args:
        function: Any callable; ``None`` is none.
    """
    words = _Words()
    lines = [words.of(function)]
    lines += words.of_met()
    return "\n".join(lines)


class _Words:
    """Words for values; what may lead back to itself has a number there, and a line of its own."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        # in the order in which they were met; an address is one thing's as long as that is there
        self._met: list[Any] = []

    def of(self, value: Any) -> str:
        """Return the words for anything."""
        if isinstance(value, np.generic | np.ndarray | torch.Tensor):
            value = plain(value)
        if isinstance(value, _TOLD):
            return repr(value)
        if isinstance(value, types.CodeType):
            return self._of_code(value)
        if isinstance(value, torch.Tensor | np.ndarray):
            return f"{tuple(value.shape)} of {value.dtype}"
        if isinstance(value, type | types.ModuleType | types.BuiltinFunctionType):
            return _name_of(value)
        # no number: equal constants are one object in some processes and several in others
        if isinstance(value, tuple):
            return self._of_entries(value)
        if isinstance(value, set | frozenset):
            return _of_set(value)
        number = self._numbers.setdefault(id(value), len(self._met))
        if number == len(self._met):
            self._met.append(value)
        return f"#{number}"

    def of_met(self) -> Iterator[str]:
        """Yield the words for what has a number; more may get one meanwhile."""
        for number in range(_MOST):
            if number == len(self._met):
                return
            yield self._of_met(self._met[number])

    def _of_met(self, value: Any) -> str:
        if isinstance(value, dict):
            return self._of_entries(value.items())
        if isinstance(value, list):
            return self._of_entries(value)
        if isinstance(value, functools.partial):
            return f"partial {self.of((value.func, value.args, value.keywords))}"
        if isinstance(value, types.MethodType):
            return f"method {self.of((value.__func__, value.__self__))}"
        if isinstance(value, types.FunctionType):
            return self._of_function(value)
        return self._of_object(value)

    def _of_entries(self, values: Collection[Any]) -> str:
        entries = [self.of(value) for value in itertools.islice(values, _ENTRIES)]
        return f"{len(values)} [{', '.join(entries)}]"

    def _of_function(self, function: types.FunctionType) -> str:
        held = [function.__defaults__, function.__kwdefaults__, *_around(function)]
        named = _globals_of(function)
        code = self._of_code(function.__code__)
        return f"{_name_of(function)} {code} {self._of_entries(held)} {self._of_attributes(named)}"

    def _of_code(self, code: types.CodeType) -> str:
        """Return what a function does: its instructions, and the names and constants in them."""
        return f"{code.co_code.hex()} {code.co_names} {self.of(code.co_consts)}"

    def _of_object(self, value: Any) -> str:
        kind = type(value)
        held: dict[str, Any] = {}
        for name, attribute in getattr(value, "__dict__", {}).items():
            told = isinstance(attribute, _OF_OBJECTS)
            held[name] = attribute if told else type(attribute)
        for name in ("__call__", "forward"):
            method = getattr(kind, name, None)
            if isinstance(method, types.FunctionType):
                held[name] = method
        return f"{_name_of(kind)} {self._of_attributes(held)}"

    def _of_attributes(self, held: Mapping[str, Any]) -> str:
        names = sorted(held)
        return self._of_entries([(name, held[name]) for name in names])


def _of_set(values: Collection[Any]) -> str:
    """Return the words for a set, whose order is another one in each process."""
    entries = []
    for value in values:
        told = isinstance(value, _TOLD)
        entries.append(repr(value) if told else _name_of(type(value)))
    return f"set {sorted(entries)}"


def _name_of(value: Any) -> str:
    parts = [getattr(value, "__module__", ""), getattr(value, "__qualname__", "")]
    if isinstance(value, types.ModuleType):
        parts = [value.__name__]
    return ".".join(map(str, parts))


def _around(function: types.FunctionType) -> Iterator[Any]:
    """Yield the variables around a function that it names."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            yield None


def _globals_of(function: types.FunctionType) -> dict[str, Any]:
    """Return the globals that a function names, but for those of a library."""
    package = str(function.__module__).partition(".")[0]
    if package in _WITHOUT:
        return {}
    named = sorted(_named_in(function.__code__))
    there = function.__globals__
    return {name: there[name] for name in named if name in there}


def _named_in(code: types.CodeType) -> set[str]:
    """Return the globals that code names, that of functions in it, too."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _named_in(constant)
    return names
