"""A check that a job can make of itself: equal weights on every replica."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from hetlib.balanced.arguments import require_model
from hetlib.balanced.batches import tensors_of
from hetlib.balanced.counting import Group, world_of

# integers whose bit patterns are those of weights of so many bytes
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
# odd numbers of 64 bits that mix those of a number well (Steele et al., OOPSLA 2014: splitmix64)
_MIX = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)


class _Weights(NamedTuple):
    """What a replica tells of its weights: names, sums over their bits, and kinds of devices."""

    names: list[str]
    sums: list[int]
    kinds: list[str]


def check_weights(model: nn.Module, group: Group = None) -> None:
    """Compare the weights of all replicas, to the bit; every replica of the group calls it.

    A GPU and a CPU may round an update differently, so in a job of both the weights are sure to be
    equal before the first step alone; later their last digits may differ.

    Args:
        model: This replica's; weights of any type.
        group: The replicas; ``None`` is all of the job.

    Raises:
        ValueError: A weight has no value yet, or an argument is not allowed.
        RuntimeError: A weight is not the same on all of them; raised on every replica.
    """
    require_model(model)
    if world_of(group) < 2:
        return
    named = dict(model.named_parameters())
    _require_values(named)
    sums = [int(_bit_sum(weight)) for weight in named.values()]
    kinds = sorted({weight.device.type for weight in named.values()})
    by_rank: list[Any] = [None] * world_of(group)
    dist.all_gather_object(by_rank, _Weights(list(named), sums, kinds), group=group)

    _require_same(by_rank)


def _require_same(by_rank: list[_Weights]) -> None:
    """Refuse weights that differ; every rank has the same list, and raises."""
    names = by_rank[0].names
    if any(other.names != names for other in by_rank):
        numbers = [len(other.names) for other in by_rank]
        raise RuntimeError(
            f"the replicas' models have other weights: {len(names)} tensors on rank 0, "
            f"{numbers} by rank; build the same model on all of them."
        )
    differing = []
    for place, name in enumerate(names):
        sums = {other.sums[place] for other in by_rank}
        if len(sums) > 1:
            differing.append(name)
    if differing:
        raise RuntimeError(
            f"the replicas' weights differ in {len(differing)} of {len(names)} tensors, "
            f"e.g. {differing[:3]}; start all from the same, "
            "and let only the reduced gradient change them."
            f"{_rounding([other.kinds for other in by_rank])}"
        )


def _require_values(named: Mapping[str, nn.Parameter]) -> None:
    """Refuse weights that have none yet."""
    for name, weight in named.items():
        if is_lazy(weight) or weight.is_meta:
            raise ValueError(
                f"`model` has weights without values, e.g. {name!r} (lazy layers, or the meta "
                "device); run a batch through it, or load them, then compare."
            )


def _rounding(kinds: list[list[str]]) -> str:
    """Say what else makes weights differ, where the replicas' devices are of different kinds."""
    if all(own == kinds[0] for own in kinds):
        return ""
    return (
        f" Their devices by rank are {kinds}, which may round an update differently: compare "
        "before the first step."
    )


def _bit_sum(weight: torch.Tensor) -> torch.Tensor:
    """Return a sum over a tensor's bit patterns in which values and places count, int64."""
    bits = weight.detach().resolve_conj().resolve_neg()
    if bits.layout != torch.strided:
        bits = bits.to_dense()
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
        outputs: Tensors in any pytree, and in mappings, lists and objects that are none to torch.
    """
    found: list[torch.Tensor] = []
    for leaf in tree_leaves(outputs):
        found.extend(tensor for tensor in tensors_of(leaf) if tensor.requires_grad)
    return found
