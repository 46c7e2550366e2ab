r"""What a pass multiplies its gradient by, from the samples of each replica in the step.

For a mean loss over m of the n samples of a global step on P replicas the factor is :math:`P\,m /
n`. The counts are dealt by a sampler, which every rank can read, or announced by each rank.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from hetlib.balanced.sampler import BalancedSampler

# A number, or what is called for it once the gradient comes back.
Factor: TypeAlias = float | Callable[[], float | torch.Tensor]


class Counts(Protocol):
    """Where the factor of a pass comes from."""

    def factor(self, size: int) -> Factor:
        """Return the factor of the next pass of this step, over ``size`` samples."""


class SummedLoss:
    """Factor of a loss that is a sum, which needs no counts: P undoes DDP's division."""

    def __init__(self, replicas: int) -> None:
        self.replicas = replicas

    def factor(self, size: int) -> float:
        """Return P, whatever the ``size`` of the pass."""
        return float(self.replicas)


class DealtCounts:
    """Factor of a pass from the counts that the sampler dealt: every rank knows them all unasked.

    Args:
        sampler: The one that deals the batches.
        passes: How often each sample goes through the model in a step.
    """

    def __init__(self, sampler: BalancedSampler, passes: int) -> None:
        self.sampler = sampler
        self.passes = passes
        # of the current step
        self.counts: tuple[int, ...] = ()
        # what this replica has still to process in it, in samples times passes
        self.left = 0

    def factor(self, size: int) -> float:
        """Return P m / n of the next pass, and take its m samples off those of the step.

        Args:
            size: Samples of the pass, m.

        Raises:
            RuntimeError: No such batch was dealt, or not as much of it is left.
        """
        if self.left == 0:
            self._next_step()
        if not self._fits(size):
            raise RuntimeError(self._mismatch(size))
        # without samples, a pass is one empty batch
        self.left -= max(size, 1)
        return len(self.counts) * size / sum(self.counts)

    def _next_step(self) -> None:
        """Go on to the step that the sampler dealt next, if there is one."""
        if not self.sampler.dealt:
            return
        self.counts = self.sampler.dealt.popleft()
        own = self.counts[self.sampler.rank]
        # without samples, a pass is one empty batch
        self.left = self.passes * max(own, 1)

    def _fits(self, size: int) -> bool:
        """Say whether a pass over ``size`` samples belongs to this step."""
        if self.left == 0 or size > self.left:
            return False
        is_empty = size == 0
        dealt_empty = self.counts[self.sampler.rank] == 0
        return is_empty == dealt_empty

    def _mismatch(self, size: int) -> str:
        """Say what came and what was dealt."""
        rank = self.sampler.rank
        expected = "no step"
        if self.left:
            own = self.counts[rank]
            expected = f"{own}, of which {self.left} are left to process"
        return (
            f"replica {rank} got a batch of {size}, but the sampler dealt {expected}; "
            "take the batches from a DataLoader(..., batch_sampler=sampler), whole or in parts; "
            "set `passes` if samples pass several times."
        )


@dataclass(frozen=True)
class _ComingFactor:
    """Factor of a pass whose total is still on its way."""

    # what this pass divides its loss by, a scalar
    count: torch.Tensor
    # the sum of all counts of the step over the replicas, once `reduction` is done
    total: torch.Tensor
    reduction: Any
    replicas: int

    def __call__(self) -> torch.Tensor:
        self.reduction.wait()
        return self.replicas * self.count / self.total


class AnnouncedCounts:
    """Factor of a pass from counts that only each rank knows; their sum travels meanwhile.

    Args:
        model: The one whose process group sums the counts, while it computes its forward pass.
    """

    def __init__(self, model: DistributedDataParallel) -> None:
        self.group = model.process_group
        self.replicas = dist.get_world_size(self.group)
        self.device = torch.device("cpu")
        # nccl sums nothing that lies on the CPU
        if dist.get_backend(self.group) == "nccl":
            self.device = next(model.parameters()).device
        # of the passes announced and not yet made, oldest first
        self.factors: deque[Factor] = deque()

    def announce(self, counts: Sequence[float | torch.Tensor]) -> None:
        """Begin to sum the counts of the coming step over the replicas.

        Args:
            counts: One number >= 0 a pass of this replica.

        Raises:
            RuntimeError: Passes announced earlier were not made.
        """
        if self.factors:
            raise RuntimeError(
                f"{len(self.factors)} announced passes were not made; "
                "announce once, before each step."
            )
        numbers = [torch.as_tensor(count).to(self.device, torch.float64) for count in counts]
        own = torch.stack(numbers)
        total = own.sum()
        reduction = dist.all_reduce(total, group=self.group, async_op=True)
        for count in own:
            self.factors.append(_ComingFactor(count, total, reduction, self.replicas))

    def factor(self, size: int) -> Factor:
        """Return the factor of the pass announced next, whatever its ``size``.

        Raises:
            RuntimeError: None was announced.
        """
        if not self.factors:
            raise RuntimeError(
                "no count for this pass; call `announce(model, count)` before it, "
                "or give a sampler."
            )
        return self.factors.popleft()
