"""Which part of each global batch a process computes, and with whom it shares the gradient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch.distributed as dist

from hetlib.balanced.normalize import ALONE
from hetlib.replicas.groups import subgroup

Item = TypeVar("Item")


@dataclass(frozen=True)
class Place:
    """Which part of each global batch this process computes, and with whom.

    Attributes:
        rank: Number of the replica on the platform; None: all of them, virtual, in this process.
        active: Ranks of the replicas that take part.
        group: Process group of those; None: there is no exchange.
    """

    rank: int | None
    active: tuple[int, ...]
    group: dist.ProcessGroup | None = None

    @property
    def position(self) -> int | None:
        """Number among the active replicas; None for all of them."""
        return None if self.rank is None else self.active.index(self.rank)

    @property
    def leads(self) -> bool:
        """Whether this is the first of the active replicas, or this process alone."""
        return not self.position

    @property
    def team(self) -> Any:
        """The group as layers with statistics over all replicas ask for it."""
        return ALONE if self.group is None else self.group

    @property
    def averaged(self) -> int:
        """Replicas over which the exchange takes the mean: DDP divides the gradients' sum by P."""
        return 1 if self.rank is None else len(self.active)

    def among(self, values: Sequence[Item]) -> tuple[Item, ...]:
        """Return those of the active replicas.

        Args:
            values: One for each replica of the platform.

        Returns:
            One for each active replica.
        """
        return tuple(values[rank] for rank in self.active)

    def on_platform(self, values: Sequence[int], replicas: int) -> list[int]:
        """Return values of the active replicas as values of all, 0 for those that stay out.

        Args:
            values: One for each active replica.
            replicas: Of the platform.

        Returns:
            One for each replica of the platform.
        """
        whole = [0] * replicas
        for rank, value in zip(self.active, values, strict=True):
            whole[rank] = int(value)
        return whole

    def own(self, counts: Sequence[int]) -> slice:
        """Return where this process's samples lie in a global batch.

        Args:
            counts: Samples of each active replica, whose parts follow each other.

        Returns:
            The part of this replica, or the whole for all of them.
        """
        position = self.position
        if position is None:
            return slice(None)
        return slice(sum(counts[:position]), sum(counts[: position + 1]))


def take_place(rank: int | None, active: Sequence[int]) -> Place | None:
    """Find this process's part; every replica has to call it, as it makes a process group.

    Args:
        rank: Number of the replica; None: all of them, virtual.
        active: Ranks of the replicas with a share.

    Returns:
        The part, or None for a replica without a share: it stays out of the training altogether.
    """
    if rank is None:
        return Place(None, tuple(active))
    group = None
    if len(active) > 1:
        group = subgroup(active)
    if rank not in active:
        return None
    return Place(rank, tuple(active), group)
