"""Which samples each replica gets in each step; every sample once an epoch."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.utils._pytree import tree_map
from torch.utils.data import Dataset, Sampler, default_collate

from hetlib.planning.partition import Partition


def deal(samples: int, shares: Sequence[int]) -> tuple[int, ...]:
    """Split ``samples`` by ``shares`` (largest remainder); each share > 0 gets one at least, if there are enough."""
    weights = np.asarray(shares, dtype=np.int64)
    least = (
        (weights > 0).astype(np.int64)
        if samples >= np.count_nonzero(weights)
        else np.zeros_like(weights)
    )
    counts = np.maximum(weights * samples // weights.sum(), least)
    wanted = weights * samples / weights.sum()
    while sign := np.sign(samples - counts.sum()):
        able = weights > 0 if sign > 0 else counts > least
        counts[np.argmax(np.where(able, sign * (wanted - counts), -np.inf))] += sign
    return tuple(counts.tolist())


class BalancedSampler(Sampler[list[int]]):
    """Batch sampler that deals each global batch by shares.

    One epoch is one permutation of the data set. Step k takes the next global batch of it and
    replica r a part in proportion to its share, so all take the same number of steps and nothing is
    repeated or left out; the last, short batch is dealt in proportion too. The position is one
    integer, so a run can stop, change its shares, and go on.

    Args:
        num_samples: Size of the data set.
        plan: A `Partition`, or the local batch of each replica; their sum is the global batch.
        rank: Number of this replica; ``None`` asks ``torch.distributed`` (0 without a job).
        seed: Seed of the permutations, the same on all replicas; without ``shuffle`` samples come
            in order.
        drop_last: Leave out the last, short global batch of an epoch.
        shards: The samples in the order in which replicas own them, first those that are dealt to
            rank 0 alone, as many as it takes in an epoch. Another plan moves the borders: change it
            between epochs. ``None``: no borders.

    Iterating gives the index list of each step of one epoch (empty for a share of 0) and moves on
    to the next epoch.
    """

    def __init__(
        self,
        num_samples: int,
        plan: Partition | Sequence[int],
        *,
        rank: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        shards: Sequence[int] | np.ndarray | None = None,
    ) -> None:
        shares = tuple(int(share) for share in (plan.shares if hasattr(plan, "shares") else plan))
        if not shares or min(shares) < 0 or sum(shares) < 1:
            raise ValueError(f"`plan` has the shares {shares}; they must be >= 0 with a sum >= 1.")
        if num_samples < (least := sum(shares) if drop_last else 1):
            raise ValueError(
                f"`num_samples` is {num_samples}; with `drop_last={drop_last}` it must be >= {least}."
            )
        rank = (dist.get_rank() if dist.is_initialized() else 0) if rank is None else rank
        if not 0 <= rank < len(shares):
            raise ValueError(
                f"`rank` is {rank}, but the plan has {len(shares)} replicas (ranks 0..{len(shares) - 1})."
            )
        if shards is not None and sorted(shards) != list(range(num_samples)):
            raise ValueError(
                f"`shards` has {len(shards)} numbers; it must be some order of 0 to {num_samples - 1}."
            )
        self.num_samples, self.rank, self.shards = num_samples, rank, shards
        # which shares hold from which step on; the same plans make the same run
        self.plans = [(0, shares)]
        self.seed, self.shuffle, self.drop_last = seed, shuffle, drop_last
        self.global_batch, self.epoch, self.step = sum(shares), 0, 0
        # counts of the steps read, oldest first; `balance` takes them
        self.dealt: deque[tuple[int, ...]] = deque()

    def __len__(self) -> int:
        """Return the steps of an epoch."""
        return (
            self.num_samples + (0 if self.drop_last else self.global_batch - 1)
        ) // self.global_batch

    def set_epoch(self, epoch: int) -> None:
        """Start the next iteration at the first step of ``epoch``."""
        self.epoch, self.step = epoch, 0

    def counts(self, step: int) -> tuple[int, ...]:
        """Return the samples of each replica in step ``step`` of this epoch."""
        shares = next(
            shares
            for first, shares in reversed(self.plans)
            if first <= self.epoch * len(self) + step
        )
        return deal(min(self.global_batch, self.num_samples - step * self.global_batch), shares)

    def replan(self, plan: Partition | Sequence[int], step: int | None = None) -> None:
        """Deal by other shares of the same global batch from ``step`` on: of all epochs; ``None`` is the next one read.

        All replicas must change at the same step; one that none has read, where DataLoaders read
        ahead differently.
        """
        shares, count = (
            tuple(plan.shares if hasattr(plan, "shares") else plan),
            len(self.plans[0][1]),
        )
        first = max(self.epoch * len(self) + self.step, self.plans[-1][0])
        step = first if step is None else step
        if (
            len(shares) != count
            or min(shares) < 0
            or sum(shares) != self.global_batch
            or step < first
        ):
            allowed = f"{count} numbers >= 0, sum {self.global_batch}, step >= {first}"
            raise ValueError(f"`plan` is {shares} at step {step}; allowed: {allowed}.")
        self.plans = [(k, old) for k, old in self.plans if k < step] + [(step, shares)]

    def permutation(self, epoch: int) -> np.ndarray:
        """Return the order of the samples in ``epoch``, ``(num_samples,)``; the same on every replica."""
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(self.num_samples) if self.shuffle else np.arange(self.num_samples)
        # each replica's places in the epoch, in this order, get what it owns
        if self.shards is not None:
            counts = np.concatenate(
                [self.counts(step) for step in range(-(-self.num_samples // self.global_batch))]
            )
            taker = np.repeat(np.arange(len(counts)) % len(self.plans[0][1]), counts)
            order[order[np.argsort(taker[order], kind="stable")]] = np.array(self.shards)
        return order

    def steps(self) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        """Yield ``(counts, indices)`` for the rest of the epoch; the indices are those of all replicas."""
        order = self.permutation(self.epoch)
        while self.step < len(self):
            start = self.step * self.global_batch
            self.step += 1
            yield self.counts(self.step - 1), order[start : start + self.global_batch]
        self.set_epoch(self.epoch + 1)

    def __iter__(self) -> Iterator[list[int]]:
        self.dealt.clear()  # steps read ahead in an epoch that was left early
        for counts, indices in self.steps():
            self.dealt.append(counts)
            start = sum(counts[: self.rank])
            yield indices[start : start + counts[self.rank]].tolist()

    def state_dict(self) -> dict[str, int]:
        """Return the position, which any plan with the same global batch can go on from."""
        return {
            "seed": self.seed,
            "position": (self.epoch * len(self) + self.step) * self.global_batch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a position."""
        if state["position"] % self.global_batch:
            raise ValueError(
                f"the position {state['position']} is not between steps of {self.global_batch}."
            )
        self.seed = state["seed"]
        self.epoch, self.step = divmod(state["position"] // self.global_batch, len(self))


def collate(
    data: Dataset[Any], merge: Callable[[list[Any]], Any] = default_collate
) -> Callable[[list[Any]], Any]:
    """Return ``merge`` as a ``collate_fn`` that also takes an empty batch, which becomes tensors without rows."""
    return partial(_merge, data, merge)


def _merge(data: Dataset[Any], merge: Callable[[list[Any]], Any], samples: list[Any]) -> Any:
    none = partial(tree_map, lambda x: x[:0] if isinstance(x, torch.Tensor) else x)
    return merge(samples) if samples else none(merge([data[0]]))
