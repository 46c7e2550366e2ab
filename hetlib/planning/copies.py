"""Copies of networks for timing, and the caller's things left as they were.

``copy.deepcopy`` refuses computed tensors (the weight that weight normalisation made in a pass
before), locks, handles and process groups. Here a computed tensor is copied by its value, and what
cannot be copied at all is shared.
"""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from hetlib.balanced.draws import states_of
from hetlib.randomness import random_states_kept

_CONTAINERS = (dict, list, set)  # and what is derived from them


def copied(network: nn.Module) -> nn.Module:
    """Return a copy of a network that shares no weight, buffer or container with it.

    Args:
        network: May hold what `copy.deepcopy` refuses; that is shared, all else is copied.

    Returns:
        The copy; weights that were tied are tied in it, too.
    """
    with _ComputedTensors():
        try:
            twin = copy.deepcopy(network)
        except Exception:  # of any kind: each thing refuses in its own way
            twin = _by_parts(network, {})
    for given, made in zip(network.parameters(), twin.parameters(), strict=True):
        # TorchScript computes its copies from the weights
        if not made.is_leaf:
            made.detach_().requires_grad_(given.requires_grad)
    return twin


class _ComputedTensors(TorchFunctionMode):
    """Copies computed tensors by their value, which `copy.deepcopy` refuses."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, or copy a tensor in its place."""
        if func is torch.Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[0].detach().clone()
        return func(*args, **(kwargs or {}))


def _by_parts(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """Return a copy of a module, made attribute by attribute.

    Args:
        module: What is copied.
        memo: Copies so far, by the id of what was copied, as for `copy.deepcopy`.
    """
    if id(module) in memo:
        known: nn.Module = memo[id(module)]
        return known
    twin = module.__new__(type(module))
    memo[id(module)] = twin
    children = copy.copy(module._modules)
    twin.__dict__["_modules"] = children
    for name, child in module._modules.items():
        if child is not None:
            children[name] = _by_parts(child, memo)
    for name, value in vars(module).items():
        if name != "_modules":
            twin.__dict__[name] = _copied_or_shared(value, memo)
    return twin


def _copied_or_shared(value: Any, memo: dict[int, Any]) -> Any:
    """Return a copy of a value, or else the value; a container of such is a new one in any case."""
    # A copy that fails halfway leaves unfinished copies in what it was given.
    tried = dict(memo)
    try:
        twin = copy.deepcopy(value, tried)
    except Exception:  # of any kind
        return copy.copy(value) if isinstance(value, _CONTAINERS) else value
    # `copy.deepcopy` keeps what it has seen alive in a list under the id of its own memo.
    seen = tried.pop(id(tried), [])
    memo.update(tried)
    memo.setdefault(id(memo), []).extend(seen)
    return twin


@contextlib.contextmanager
def left_as_it_was(network: nn.Module, *functions: object) -> Iterator[None]:
    """Keep random states and a network's gradients from all that happens within.

    The states are those of Python, numpy and torch, on the CPU and on GPUs in use, and of the
    generators that the network and the functions hold. The gradients are set aside: they are the
    same tensors afterwards.

    Args:
        network: The caller's.
        functions: What else of the caller's is called within.
    """
    put_back = states_of(network, *functions)
    gradients = []
    for weight in network.parameters():
        gradients.append((weight, weight.grad))
        weight.grad = None
    try:
        with random_states_kept():
            yield
    finally:
        for weight, gradient in gradients:
            weight.grad = gradient
        for restore in put_back:
            restore()
