"""A check that a job can make of itself: equal weights on every replica."""

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.utils._pytree import tree_leaves

from hetlib.balanced.counting import Group, world_of

# integers whose bit patterns are those of weights of so many bytes
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
# odd numbers of 64 bits that mix those of a number well (Steele et al., OOPSLA 2014: splitmix64)
_MIX = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)


def check_weights(model: nn.Module, group: Group = None) -> None:
    """Compare the weights of all replicas, to the bit; every replica of the group calls it.

    Args:
        model: This replica's; weights of any type.
        group: The replicas; ``None`` is all of the job.

    Raises:
        RuntimeError: A weight is not the same on all of them; raised on every replica.
    """
    if world_of(group) < 2:
        return
    named = dict(model.named_parameters())
    sums = torch.stack([_bit_sum(weight).cpu() for weight in named.values()])
    by_rank: list[Any] = [None] * world_of(group)
    dist.all_gather_object(by_rank, (list(named), sums.tolist()), group=group)

    names, first = by_rank[0]
    if any(other != names for other, _ in by_rank):
        raise RuntimeError(
            f"the replicas' models have other weights: {len(names)} tensors on rank 0, "
            f"{[len(other) for other, _ in by_rank]} by rank; build the same model on all of them."
        )
    differing = [
        name
        for place, name in enumerate(names)
        if any(numbers[place] != first[place] for _, numbers in by_rank)
    ]
    if differing:
        raise RuntimeError(
            f"the replicas' weights differ in {len(differing)} of {len(names)} tensors, "
            f"e.g. {differing[:3]}; start all from the same, "
            "and let only the reduced gradient change them."
        )


def _bit_sum(weight: torch.Tensor) -> torch.Tensor:
    """Return a sum over a tensor's bit patterns in which values and places count, int64."""
    bits = weight.detach()
    if bits.is_complex():
        bits = torch.view_as_real(bits)
    mixed = bits.contiguous().view(_INTEGERS[bits.element_size()]).flatten().to(torch.int64)
    for number in _MIX:
        mixed = (mixed ^ (mixed >> 30)) * number
    places = torch.arange(len(mixed), device=mixed.device)
    # odd, so that no bit of a value is lost
    return (mixed * (2 * places + 1)).sum()


def differentiable(outputs: Any) -> list[torch.Tensor]:
    """Return the tensors in a model's outputs that a gradient can come back through.

    Args:
        outputs: Any pytree.
    """
    return [
        leaf
        for leaf in tree_leaves(outputs)
        if isinstance(leaf, torch.Tensor) and leaf.requires_grad
    ]
