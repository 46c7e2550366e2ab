"""Counts that only each replica knows, summed over all of them while the forward pass runs."""

import gc
import math
import sys
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from torch.distributed.algorithms.join import Join

from hetlib.balanced.arguments import require_group
from hetlib.errors import wrong

Group: TypeAlias = dist.ProcessGroup | None


class AnnouncedCount:
    """A replica's count, and the sum over all replicas, which is on its way.

    Args:
        own: Count of this replica, 0-d float64.
        total: Becomes the sum over the replicas, 0-d float64.
        work: The reduction that makes it so; ``None`` without other replicas.
        replicas: Their number, P.
    """

    def __init__(
        self, own: torch.Tensor, total: torch.Tensor, work: Any | None, replicas: int
    ) -> None:
        self.own = own
        self.replicas = replicas
        self._total = total
        self._work = work

    def part(self, samples: float | torch.Tensor | None = None) -> "Part":
        """Return what a loss over a part of the count is weighted by.

        Args:
            samples: What the loss is the mean over; ``None`` is the whole count.

        Raises:
            RuntimeError: The count is smaller.
        """
        if samples is None:
            return Part(self, self.own)
        own = number_of(samples, self.own.device, "samples")
        if _is_known(own) and float(own) > float(self.own):
            raise RuntimeError(
                f"`samples` is {float(own):g}, but this replica's count is {float(self.own):g}; "
                "announce the count of all parts together, once."
            )
        return Part(self, own)

    def total(self) -> torch.Tensor:
        """Wait for the sum of all counts, and return it."""
        if self._work is not None:
            self._work.wait()
            self._work = None
        return self._total


class Part:
    """What a loss is the mean over, of an announced count.

    Args:
        announced: The count.
        own: What is this loss's of it.
    """

    def __init__(self, announced: AnnouncedCount, own: torch.Tensor) -> None:
        self._announced = announced
        self._own = own

    @property
    def is_nothing(self) -> bool:
        """Whether the loss is known to be over nothing; on a GPU nobody asks, as it would wait."""
        return _is_known(self._own) and float(self._own) == 0

    def factor(self) -> torch.Tensor:
        """Return P times the part of all counts that is this loss's; 0 where all are 0."""
        total = self._announced.total()
        part = self._announced.replicas * self._own / total
        return torch.where(total == 0, torch.zeros_like(part), part)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def announce(count: float | torch.Tensor, *, group: Group = None) -> AnnouncedCount:
    """Begin to sum what only each replica can count, while its forward pass runs.

    Every replica of the group calls it, in the same order, once a step, and gives the result to
    `balance`, once or several times.

    Args:
        count: What this replica's loss is divided by: tokens, valid pixels, a sum of class weights.
            A number >= 0, or a tensor with one element.
        group: Process group of the replicas; ``None`` is the default one.

    Returns:
        The count, for ``balance(loss, count=...)``.

    Raises:
        ValueError: ``count`` is no finite number >= 0.
        RuntimeError: DDP's ``join()`` is on: a replica that has run out would not take part.
    """
    if world_of(group) > 1:
        _joins.refuse()
    return begin_to_sum(count, group)


def begin_to_sum(count: float | torch.Tensor, group: Group) -> AnnouncedCount:
    """Begin to sum a count over a group, wherever it is called.

    Args:
        count: Of this replica.
        group: The replicas.

    Raises:
        ValueError: ``count`` is no finite number >= 0.
    """
    own = number_of(count, device_of(group), "count")
    total = own.clone()
    replicas = world_of(group)
    work = None
    if replicas > 1:
        work = dist.all_reduce(total, group=group, async_op=True)
    return AnnouncedCount(own, total, work, replicas)


def number_of(count: Any, device: torch.device, name: str) -> torch.Tensor:
    """Return a count as a 0-d float64 tensor.

    Args:
        count: A number, or a tensor with one element.
        device: Where the result is to be.
        name: What the count is called in an error.

    Raises:
        ValueError: It is no finite number >= 0.
    """
    try:
        # torch would round a number of Python's to float32
        exact = torch.float64 if isinstance(count, float) else None
        given = torch.as_tensor(count, dtype=exact).detach()
        if given.is_meta or given.dtype == torch.bool:
            raise ValueError
    except Exception:  # torch has an error of its own for each thing that is no number
        raise wrong(name, count, "one number: what the loss is the mean over") from None
    if given.numel() != 1 or given.is_complex():
        raise ValueError(
            f"`{name}` has the shape {tuple(given.shape)} and the type {given.dtype}; it must be "
            "one number: what the loss is the mean over."
        )
    own = given.reshape(()).to(device).to(torch.float64)
    if _is_known(own) and not 0 <= float(own) < math.inf:
        raise ValueError(f"`{name}` is {float(own)}; it must be a finite number >= 0.")
    return own


def _is_known(number: torch.Tensor) -> bool:
    """Say whether a number can be looked at without waiting for a GPU."""
    return number.device.type == "cpu"


def device_of(group: Group) -> torch.device:
    """Return where a group reduces numbers: NCCL on this process's GPU, others on the CPU.

    Args:
        group: The replicas.
    """
    if dist.is_initialized() and dist.get_backend(group) == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def largest_of_all(number: int, group: Group = None) -> int:
    """Return the largest of all replicas' numbers, by one small all-reduce.

    Args:
        number: This replica's.
        group: The replicas; ``None`` is all of the job.
    """
    if world_of(group) == 1:
        return number
    largest = torch.tensor(number, device=device_of(group))
    dist.all_reduce(largest, dist.ReduceOp.MAX, group=group)
    return int(largest)


def world_of(group: Group = None) -> int:
    """Return the number of replicas of a group, 1 without a job.

    Args:
        group: The replicas; ``None`` is all of the job.

    Raises:
        ValueError: It is no process group, or this process is not in it.
    """
    require_group("group", group)
    return dist.get_world_size(group) if dist.is_initialized() else 1


class _Joins:
    """Knows whether DDP's ``join()`` is on.

    Nothing leads from a count to a model. But each instance of a class holds a reference to it: as
    long as there are as many references as before, no ``join()`` has begun, and else it is looked
    for among all objects (20 ms).
    """

    def __init__(self) -> None:
        # to the class, when no join was on
        self._references = 0

    def refuse(self) -> None:
        """Raise ``RuntimeError`` where it is on."""
        references = sys.getrefcount(Join)
        if references == self._references:
            return
        for thing in gc.get_objects():
            # not isinstance, which asks proxies of things that are gone
            if issubclass(type(thing), Join) and thing._enable:
                raise RuntimeError(
                    "counts cannot be summed inside DDP's join(): a replica that has run out of "
                    "batches takes no part. Leave join() out and deal all replicas the same "
                    "number of steps, as BalancedLoader does; or let counts take part: "
                    "with Join([counts, model]), counts = hetlib.JoinedCounts()."
                )
        self._references = references


_joins = _Joins()
