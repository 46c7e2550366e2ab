"""Random generators that a caller's functions and models hold, and their states."""

import functools
import itertools
import random
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

_MOST = 20_000  # things that are looked at, the nearest first: 0.05 s

_ENTRIES = 1000  # of a container that are looked at: a data set may be among them

_WITHOUT = ("torch", "numpy")  # packages whose functions hold none of the caller's

# What holds nothing else.
_PLAIN = (type, types.ModuleType, torch.Tensor, np.ndarray, str, bytes, int, float)

_KINDS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)


def states_of(*holders: Any) -> list[Callable[[], object]]:
    """Return functions that put all generators that some things hold back to their state of now.

    Args:
        holders: Models, functions, containers: what is in their attributes, entries, closures,
            defaults, bound arguments and the globals that a function or a method names.

    Returns:
        A function without arguments for each generator.
    """
    return [_restore(generator) for generator in generators_of(*holders)]


def _restore(generator: Any) -> Callable[[], object]:
    """Return what puts a generator back to its state of now."""
    if isinstance(generator, torch.Generator):
        return functools.partial(generator.set_state, generator.get_state())
    if isinstance(generator, np.random.Generator):
        bits = generator.bit_generator
        return functools.partial(setattr, bits, "state", bits.state)
    if isinstance(generator, np.random.RandomState):
        return functools.partial(generator.set_state, generator.get_state())
    return functools.partial(generator.setstate, generator.getstate())


def reseed(generator: Any, number: int) -> None:
    """Let a generator begin anew.

    Args:
        generator: One that `generators_of` yields.
        number: What all that it draws comes from.
    """
    if isinstance(generator, torch.Generator):
        generator.manual_seed(number)
    elif isinstance(generator, np.random.Generator):
        bits = generator.bit_generator
        bits.state = type(bits)(number).state
    else:
        generator.seed(number)


def generators_of(*holders: Any) -> Iterator[Any]:
    """Yield the generators in some things, each once.

    Args:
        holders: As for `states_of`.
    """
    waiting = deque(holders)
    known: dict[int, Any] = {}
    while waiting and len(known) < _MOST:
        part = waiting.popleft()
        if id(part) in known or part is None or isinstance(part, _PLAIN):
            continue
        known[id(part)] = part
        if isinstance(part, _KINDS):
            if not isinstance(part, random.SystemRandom):  # which has no state
                yield part
        else:
            waiting.extend(_inside(part))


def _inside(part: Any) -> Iterable[Any]:
    """Return what a thing holds, as far as it is looked into."""
    if isinstance(part, functools.partial):
        return [part.func, *part.args, *part.keywords.values()]
    if isinstance(part, types.MethodType):
        return [part.__self__, part.__func__]
    if isinstance(part, types.FunctionType):
        return _of_function(part)
    if isinstance(part, Mapping):
        return list(itertools.islice(part.values(), _ENTRIES))
    if isinstance(part, list | tuple | set | frozenset):
        return list(itertools.islice(part, _ENTRIES))
    return _of_object(part)


def _of_object(part: Any) -> Iterable[Any]:
    """Return the attributes of an object, and the methods of its class."""
    held: list[Any] = list(getattr(part, "__dict__", {}).values())
    for method in vars(type(part)).values():
        if isinstance(method, types.FunctionType):
            held.append(method)
    return held


def _of_function(function: types.FunctionType) -> list[Any]:
    """Return what a function was made with: closure, defaults, and the globals it names."""
    package = str(function.__module__).partition(".")[0]
    if package in _WITHOUT:
        return []
    held: list[Any] = list(function.__defaults__ or ())
    held += (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    for name in function.__code__.co_names:
        held.append(function.__globals__.get(name))
    return held
