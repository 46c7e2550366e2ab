"""What FSDP2 (``fully_shard``) divides the summed gradients by, where it can be seen.

The weight of a loss undoes a division by the number of replicas. A network for which
``set_gradient_divide_factor`` was called divides by something else.
"""

import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from hetlib.balanced.graph import leaves_of


def refuse_other_divisor(loss: torch.Tensor, replicas: int) -> None:
    """Refuse a loss of a network whose gradients are divided by another number than P.

    Args:
        loss: The loss.
        replicas: P, the replicas whose gradients are averaged.

    Raises:
        RuntimeError: A divisor was set; the message says what to do.
    """
    others = [group for group in _groups() if _divisor(group) not in (None, replicas)]
    if not others:
        return
    below = {id(weight) for weight in leaves_of(loss)}
    for group in others:
        if any(id(weight) in below for weight in _weights(group)):
            raise RuntimeError(
                f"set_gradient_divide_factor({_divisor(group):g}) was called for a network of this "
                f"loss, whose weight undoes a division by the {replicas} replicas: leave the call "
                f"out, or call set_gradient_divide_factor({replicas})."
            )


def exchanges_gradients(layer: nn.Module) -> bool | None:
    """Say whether a backward pass exchanges a layer's gradients; None where FSDP2 does not hold it.

    Args:
        layer: A part of a network, with weights of its own.
    """
    for group in _groups():
        for parameter in getattr(group, "fsdp_params", []):
            if parameter._module_info.module is layer:
                return bool(group.reduce_grads)
    return None


def _groups() -> Iterator[Any]:
    """Yield the groups of parameters that FSDP2 reduces together, of all networks."""
    module = sys.modules.get("torch.distributed._composable_state")
    states = dict(getattr(module, "_module_state_mapping", {}))
    for reference in states.values():
        state = reference()
        # torch up to 2.10 has one group for a module
        one = getattr(state, "_fsdp_param_group", None)
        yield from getattr(state, "_fsdp_param_groups", [one] if one is not None else [])


def _divisor(group: Any) -> float | None:
    divisor: float | None = getattr(group, "gradient_divide_factor", None)
    return divisor


def _weights(group: Any) -> Iterator[torch.Tensor]:
    """Yield the whole parameters that the graph of a loss ends in."""
    for parameter in getattr(group, "fsdp_params", []):
        whole = getattr(parameter, "_unsharded_param", None)
        if whole is not None:
            yield whole
