"""Which of torch's optimizers an experiment can name, and the options that they take."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from hetlib.owncode import check_options

# Where `optimizer_options` is None; for other optimizers torch's own defaults.
OPTIMIZER_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "SGD": {"momentum": 0.9, "weight_decay": 5e-4},
}

# In torch.optim, and not for this loop: why not.
NO_OPTIMIZERS = {
    "Optimizer": "the base of all",
    "SparseAdam": "takes sparse gradients alone",
    "Muon": "takes matrices alone, and CNNs have other weights, too",
}

# What an optimizer gets besides its options.
_OF_OPTIMIZER = ("params", "lr")


def optimizers() -> list[str]:
    """Return the names of those of torch's optimizers that one pass a step is enough for."""
    names = []
    for name in dir(torch.optim):
        if name[0].isupper() and name not in NO_OPTIMIZERS:
            step = inspect.signature(getattr(torch.optim, name).step)
            closure = step.parameters.get("closure")
            if closure is None or closure.default is None:
                names.append(name)
    return names


def check_optimizer(name: str, options: Mapping[str, Any]) -> None:
    """Refuse options that an optimizer does not take, or values that it refuses.

    Args:
        name: One of `optimizers`.
        options: Its keyword arguments.

    Raises:
        ValueError: It takes no such option, or makes no step with it.
    """
    kind = getattr(torch.optim, name)
    check_options("optimizer_options", options, kind, given=_OF_OPTIMIZER)
    weight = torch.zeros(1, requires_grad=True)
    weight.grad = torch.zeros(1)
    try:
        kind([weight], lr=0.0, **options).step()
    except Exception as error:
        raise ValueError(
            f"`optimizer_options` is {dict(options)}, and {name} refuses it: {error}."
        ) from error
