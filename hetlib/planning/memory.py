"""How many samples fit into a replica's free memory, without trying: no batch is run that might not fit."""

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn

LossOf = Callable[[nn.Module, int], torch.Tensor]  # loss of a network, or of its DDP, on n samples


_USABLE = 0.8  # of the free memory: other processes and fragments take some


_COPIES = 4  # of the weights: gradients, DDP's buckets, optimizer state and the copy that is timed


_PEAK = 2  # the backward pass's peak over what the forward pass saves


_CGROUP = Path("/sys/fs/cgroup")


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free now: of a GPU, or of the machine within this job's control group."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):  # no group, or "max"
        free = min(
            free,
            int((_CGROUP / "memory.max").read_text())
            - int((_CGROUP / "memory.current").read_text()),
        )
    return max(free, 0)


def saved_bytes(forward: Callable[[], Any]) -> int:
    """Return the bytes that a forward pass keeps for its backward pass; tensors that share memory count once."""
    # alive until all is counted, so that no memory is used twice
    kept: dict[int, torch.UntypedStorage] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        forward()
    return sum(storage.nbytes() for storage in kept.values())


def fitting_batch(
    network: nn.Module, loss_of: LossOf, device: torch.device, sharing: int = 1
) -> int:
    """Return the samples of a step that fit into the free memory, at least 1.

    What a sample needs is the slope of `saved_bytes` between 2 and 4 samples, twice for the peak of
    the backward pass. The network is in training mode, so its running statistics change;
    ``sharing`` replicas share the memory.
    """
    two, four = (saved_bytes(partial(loss_of, network, n)) for n in (2, 4))
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    room = _USABLE * free_memory(device) / sharing - _COPIES * weights
    return max(int(room / max(_PEAK * (four - two) / 2, 1)), 1)
