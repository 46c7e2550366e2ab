"""How many samples fit into a replica's free memory, without trying.

No batch is run that might not fit: what a sample needs is seen in two small ones.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from hetlib.memory import available_memory

LossOf = Callable[[nn.Module, int], torch.Tensor]  # loss of a network, or of its DDP, on n samples

_USABLE = 0.8  # of the free memory: other processes and fragments take some

_COPIES = 4  # of the weights: gradients, DDP's buckets, optimizer state and the copy that is timed

_PEAK = 2  # the backward pass's peak over what the forward pass saves


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free now.

    Args:
        device: A GPU, or the CPU.

    Returns:
        Bytes, at least 0; ``None`` where nobody knows.
    """
    if device.type == "cuda":
        return _free_on_gpu(device)
    return available_memory()


def _free_on_gpu(device: torch.device) -> int:
    """Return what the driver has, and what torch keeps of it in this process without using it."""
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + kept


def saved_bytes(forward: Callable[[], Any]) -> int:
    """Return the bytes that a forward pass keeps for its backward pass.

    Args:
        forward: Runs the pass.

    Returns:
        Bytes; tensors that share memory count once.
    """
    # alive until all is counted, so that no memory is used twice
    kept: dict[int, torch.UntypedStorage] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage
        # Without its graph: a node that kept its own output would keep itself, and the network, for
        # good. Torch puts the graph back where the pass is derived once more.
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        forward()
    return sum(storage.nbytes() for storage in kept.values())


def fitting_batch(
    network: nn.Module,
    loss_of: LossOf,
    device: torch.device,
    sharing: int = 1,
    few: int = 2,
) -> int | None:
    """Return the samples of a step that fit into the free memory.

    What a sample needs is the slope of `saved_bytes` between few samples and twice as many, twice
    for the peak of the backward pass.

    Args:
        network: In training mode; its running statistics change.
        loss_of: Returns its loss on n samples.
        device: Where it computes.
        sharing: Replicas that share the memory.
        few: Samples of a small step that runs.

    Returns:
        Samples, at least 1; ``None``, which is no cap, where nobody knows what is free.
    """
    less = saved_bytes(partial(loss_of, network, few))
    more = saved_bytes(partial(loss_of, network, 2 * few))
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    free = free_memory(device)
    if free is None:
        return None
    room = _USABLE * free / sharing - _COPIES * weights
    of_a_sample = max(_PEAK * (more - less) / few, 1)
    return max(int(room / of_a_sample), 1)
