"""What DistributedDataParallel and FSDP2 do around a network, where BatchNorm has to know it."""

import gc
from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hetlib.balanced.normalize import PassKind
from hetlib.balanced.sharded import exchanges_gradients


def active_wrapper() -> DistributedDataParallel | None:
    """Return what a forward pass of this process is in."""
    wrapper: Any = DistributedDataParallel
    found: DistributedDataParallel | None = wrapper._get_active_ddp_module()
    return found


def kind_of_pass(layer: nn.Module) -> PassKind:
    """Return the kind of the pass that is on in this process.

    Args:
        layer: What it has come to.
    """
    wrapper = active_wrapper()
    if wrapper is not None:
        is_last: bool | None = wrapper.require_backward_grad_sync
    else:
        is_last = exchanges_gradients(layer)
    if is_last is None:
        return PassKind.UNKNOWN
    return PassKind.LAST if is_last else PassKind.EARLY


def wrappers_around(layers: Iterable[nn.Module]) -> list[DistributedDataParallel]:
    """Return what holds some of the layers and is in use.

    Nothing leads from a layer to its wrapper, so it is looked for among all objects (20 ms).

    Args:
        layers: Parts of a network.
    """
    wanted = {id(layer) for layer in layers}
    if not any(_holding(wanted)):
        return []
    # wrappers that nobody uses any more refer to themselves, and so are still there
    gc.collect()
    return list(_holding(wanted))


def _holding(wanted: set[int]) -> Iterator[DistributedDataParallel]:
    for thing in gc.get_objects():
        # not isinstance, which asks proxies of things that are gone
        if not issubclass(type(thing), DistributedDataParallel):
            continue
        if any(id(layer) in wanted for layer in thing.modules()):
            yield thing


def sends_buffers(wrapper: DistributedDataParallel, layers: Iterable[nn.Module]) -> bool:
    """Say whether a wrapper gives all replicas rank 0's buffers of some of the layers.

    Args:
        wrapper: What holds a network.
        layers: Parts of networks.
    """
    if not wrapper.broadcast_buffers:
        return False
    wanted = {id(layer) for layer in layers}
    return any(
        f"{name}.running_mean" not in wrapper.parameters_to_ignore
        for name, layer in wrapper.module.named_modules()
        if id(layer) in wanted
    )
