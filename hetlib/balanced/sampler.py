"""Which samples each replica gets in each step; every sample once an epoch."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch.distributed as dist
from torch.utils.data import Sampler


class HasShares(Protocol):
    """A plan, such as a `Partition`."""

    @property
    def shares(self) -> Sequence[int]:
        """Local batch of each replica."""


def deal(samples: int, shares: Sequence[int]) -> tuple[int, ...]:
    """Split samples by shares, by the largest remainder.

    Each share > 0 gets one sample at least, if there are enough.

    Args:
        samples: How many to split.
        shares: Numbers >= 0 with a sum >= 1, one a replica.

    Returns:
        The samples of each replica.

    >>> deal(8, (90, 26, 9, 3))
    (5, 1, 1, 1)
    """
    weights = np.asarray(shares, dtype=np.int64)
    least = np.zeros_like(weights)
    if samples >= np.count_nonzero(weights):
        least = (weights > 0).astype(np.int64)
    counts = np.maximum(weights * samples // weights.sum(), least)
    wanted = weights * samples / weights.sum()

    # rounding down leaves samples over, the least number of each takes too many
    missing = samples - counts.sum()
    while missing:
        sign = np.sign(missing)
        able = weights > 0 if sign > 0 else counts > least
        distance = np.where(able, sign * (wanted - counts), -np.inf)
        counts[np.argmax(distance)] += sign
        missing -= sign
    return tuple(counts.tolist())


class BalancedSampler(Sampler[list[int]]):
    """Batch sampler that deals each global batch by shares.

    One epoch is one permutation of the data set. Step k takes the next global batch of it and
    replica r a part in proportion to its share, so all take the same number of steps and nothing is
    repeated or left out; the last, short batch is dealt in proportion too. The position is one
    integer, so a run can stop, change its shares, and go on.

    Iterating gives the index list of each step of one epoch (empty for a share of 0) and moves on
    to the next epoch.

    Args:
        num_samples: Size of the data set.
        plan: A `Partition`, or the local batch of each replica; their sum is the global batch.
        rank: Number of this replica; ``None`` asks ``torch.distributed`` (0 without a job).
        seed: Seed of the permutations, the same on all replicas; without ``shuffle`` samples come
            in order.
        shuffle: Whether each epoch has an order of its own.
        drop_last: Leave out the last, short global batch of an epoch.
        shards: The samples in the order in which replicas own them, first those that are dealt to
            rank 0 alone, as many as it takes in an epoch. Another plan moves the borders: change it
            between epochs. ``None``: no borders.

    Raises:
        ValueError: An argument is not allowed, or does not fit the others.

    >>> list(BalancedSampler(10, [3, 1], rank=1, shuffle=False))
    [[3], [7], [9]]
    """

    def __init__(
        self,
        num_samples: int,
        plan: HasShares | Sequence[int],
        *,
        rank: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        shards: Sequence[int] | np.ndarray | None = None,
    ) -> None:
        shares = _shares_of(plan)
        if rank is None:
            rank = dist.get_rank() if dist.is_initialized() else 0
        _require_shares(shares)
        _require_samples(num_samples, shares, drop_last)
        _require_rank(rank, shares)
        if shards is not None:
            _require_shards(shards, num_samples)

        self.num_samples = num_samples
        self.rank = rank
        self.seed = seed
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.shards = shards
        self.global_batch = sum(shares)
        # which shares hold from which step on; the same plans make the same run
        self.plans = [(0, shares)]
        # the position: the step that is read next
        self.epoch = 0
        self.step = 0
        # counts of the steps read, oldest first; `balance` takes them
        self.dealt: deque[tuple[int, ...]] = deque()

    def __len__(self) -> int:
        """Return the steps of an epoch."""
        if self.drop_last:
            return self.num_samples // self.global_batch
        return self._all_steps()

    def _all_steps(self) -> int:
        """Return the steps of an epoch with the last, short one, if there is one."""
        return -(-self.num_samples // self.global_batch)

    def _steps_read(self) -> int:
        """Return the steps that lie before the position, of all epochs."""
        return self.epoch * len(self) + self.step

    def set_epoch(self, epoch: int) -> None:
        """Start the next iteration at the first step of an epoch.

        Args:
            epoch: Its number, from 0.
        """
        self.epoch = epoch
        self.step = 0

    def counts(self, step: int) -> tuple[int, ...]:
        """Return the samples of each replica in a step of this epoch.

        Args:
            step: Its number in the epoch, from 0.
        """
        number = self.epoch * len(self) + step
        shares = next(shares for first, shares in reversed(self.plans) if first <= number)
        left = self.num_samples - step * self.global_batch
        return deal(min(self.global_batch, left), shares)

    def replan(self, plan: HasShares | Sequence[int], step: int | None = None) -> None:
        """Deal by other shares of the same global batch from a step on.

        All replicas must change at the same step; one that none has read, where DataLoaders read
        ahead differently.

        Args:
            plan: A `Partition`, or the local batch of each replica.
            step: The first step that is dealt by it, counted over all epochs; ``None`` is the next
                one read.

        Raises:
            ValueError: The shares have another number or sum, or the step was read.
        """
        shares = _shares_of(plan)
        count = len(self.plans[0][1])
        last_change = self.plans[-1][0]
        first = max(self._steps_read(), last_change)
        if step is None:
            step = first
        fits = len(shares) == count and sum(shares) == self.global_batch
        if not fits or min(shares) < 0 or step < first:
            allowed = f"{count} numbers >= 0, sum {self.global_batch}, step >= {first}"
            raise ValueError(f"`plan` is {shares} at step {step}; allowed: {allowed}.")
        kept = [(start, old) for start, old in self.plans if start < step]
        self.plans = [*kept, (step, shares)]

    def permutation(self, epoch: int) -> np.ndarray:
        """Return the order of the samples in an epoch, the same on every replica.

        Args:
            epoch: Its number, from 0.

        Returns:
            The samples' numbers, ``(num_samples,)``.
        """
        rng = np.random.default_rng((self.seed, epoch))
        order = np.arange(self.num_samples)
        if self.shuffle:
            order = rng.permutation(self.num_samples)
        if self.shards is not None:
            self._take_own(order, np.array(self.shards))
        return order

    def _take_own(self, order: np.ndarray, owned: np.ndarray) -> None:
        """Change an epoch's order so that each replica draws what it owns, in place.

        Each replica's places in the epoch, in this order, get what it owns.
        """
        by_step = [self.counts(step) for step in range(self._all_steps())]
        counts = np.concatenate(by_step)
        replicas = len(self.plans[0][1])
        # the replica that takes each place of the epoch
        taker = np.repeat(np.arange(len(counts)) % replicas, counts)
        # the places that replica 0 takes, then those of replica 1, ..., each in the epoch's order
        places = order[np.argsort(taker[order], kind="stable")]
        order[places] = owned

    def steps(self) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        """Go through the rest of the epoch, for all replicas, and move on to the next epoch.

        Yields:
            The samples of each replica in a step, and their numbers, first those of rank 0.
        """
        order = self.permutation(self.epoch)
        while self.step < len(self):
            step = self.step
            start = step * self.global_batch
            # the position lies behind what is handed out
            self.step += 1
            yield self.counts(step), order[start : start + self.global_batch]
        self.set_epoch(self.epoch + 1)

    def __iter__(self) -> Iterator[list[int]]:
        # steps read ahead in an epoch that was left early
        self.dealt.clear()
        for counts, indices in self.steps():
            self.dealt.append(counts)
            start = sum(counts[: self.rank])
            own = indices[start : start + counts[self.rank]]
            yield own.tolist()

    def state_dict(self) -> dict[str, int]:
        """Return the position, which any plan with the same global batch can go on from."""
        return {"seed": self.seed, "position": self._steps_read() * self.global_batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a position.

        Args:
            state: What `state_dict` returned.

        Raises:
            ValueError: The position lies within a step of this plan.
        """
        steps, rest = divmod(state["position"], self.global_batch)
        if rest:
            raise ValueError(
                f"the position {state['position']} is not between steps of {self.global_batch}."
            )
        self.seed = state["seed"]
        self.epoch, self.step = divmod(steps, len(self))


def _shares_of(plan: HasShares | Sequence[int]) -> tuple[int, ...]:
    """Return the local batch of each replica, of a plan or as they are."""
    shares: Any = getattr(plan, "shares", plan)
    return tuple(int(share) for share in shares)


def _require_shares(shares: tuple[int, ...]) -> None:
    if not shares or min(shares) < 0 or sum(shares) < 1:
        raise ValueError(f"`plan` has the shares {shares}; they must be >= 0 with a sum >= 1.")


def _require_samples(num_samples: int, shares: tuple[int, ...], drop_last: bool) -> None:
    least = sum(shares) if drop_last else 1
    if num_samples < least:
        raise ValueError(
            f"`num_samples` is {num_samples}; with `drop_last={drop_last}` it must be >= {least}."
        )


def _require_rank(rank: int, shares: tuple[int, ...]) -> None:
    replicas = len(shares)
    if not 0 <= rank < replicas:
        raise ValueError(
            f"`rank` is {rank}, but the plan has {replicas} replicas (ranks 0..{replicas - 1})."
        )


def _require_shards(shards: Sequence[int] | np.ndarray, num_samples: int) -> None:
    if sorted(shards) != list(range(num_samples)):
        raise ValueError(
            f"`shards` has {len(shards)} numbers; it must be some order of 0 to {num_samples - 1}."
        )
