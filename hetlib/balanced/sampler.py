"""Which samples each replica gets in each step; every sample once an epoch."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch.distributed as dist
from torch.utils.data import Sampler

from hetlib.balanced.dealing import Deal, Position
from hetlib.balanced.queries import Queries
from hetlib.balanced.shares import (
    HasShares,
    deal,
    require_fitting,
    require_no_shards,
    require_position,
    require_rank,
    require_samples,
    require_shards,
    require_shares,
    shares_of,
)

__all__ = ["BalancedSampler", "Deal", "HasShares", "Position", "deal"]


class BalancedSampler(Sampler[list[Any]]):
    """Batch sampler that deals each global batch by shares.

    One epoch is one permutation of the data set. Step k takes the next global batch of it and
    replica r a part in proportion to its share, so all take the same number of steps and nothing is
    repeated or left out; the last, short batch is dealt in proportion too. What is dealt is a pure
    function of seed, epoch, step and plans: iterating changes nothing but the iterator.

    Iterating gives the index list of each step of the present epoch, from the present step on
    (empty for a share of 0). `set_epoch` chooses the epoch, as for torch's DistributedSampler.

    Args:
        num_samples: Size of the data set. Or a sampler of queries, such as torchgeo's: each epoch
            its queries are drawn once, the same on every replica, and dealt in the order in which
            it gives them.
        plan: A `Partition`, or the local batch of each replica; their sum is the global batch.
        rank: Number of this replica; ``None`` asks ``torch.distributed`` when the first batch is
            dealt (0 without a job).
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
        num_samples: int | Iterable[Any],
        plan: HasShares | Sequence[int],
        *,
        rank: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        shards: Sequence[int] | np.ndarray | None = None,
    ) -> None:
        shares = shares_of(plan)
        require_shares(shares)
        # drawn anew each epoch; None: the samples' numbers are dealt
        self.queries: Queries | None = None
        if isinstance(num_samples, Iterable):
            require_no_shards(shards)
            self.queries = Queries(num_samples, seed)
            num_samples = len(self.queries)
        require_samples(num_samples, shares, drop_last)
        if rank is not None:
            require_rank(rank, shares)
        if shards is not None:
            require_shards(shards, num_samples)

        self.num_samples = num_samples
        self.seed = seed
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.shards = shards
        self.global_batch = sum(shares)
        # which shares hold from which step on; the same plans make the same run
        self.plans = [(0, shares)]
        self._first_shares = shares  # what it was made with
        # where iterating begins
        self.epoch = 0
        self.step = 0
        self._rank = rank

    @property
    def replicas(self) -> int:
        """Number of replicas of the plan."""
        return len(self.plans[0][1])

    @property
    def batch_size(self) -> int:
        """Refuse those who ask: to deal the batches of a loader anew, or to cut them.

        Raises:
            TypeError: Always; each replica has its own batch size.
        """
        raise TypeError(
            "a framework asks a BalancedSampler for one batch size, to deal its batches a second "
            "time: each replica has its own. With Accelerate use a BalancedLoader, which `prepare` "
            "leaves as it is; with Lightning and Fabric say use_distributed_sampler=False."
        )

    @property
    def knows_rank(self) -> bool:
        """Whether the rank was given; else the job is asked when a batch is dealt."""
        return self._rank is not None

    @property
    def rank(self) -> int:
        """Number of this replica, as it was given or as the job says now; 0 without a job.

        Raises:
            ValueError: The job has another number of processes than the plan has replicas.
        """
        if self._rank is not None:
            return self._rank
        if not dist.is_initialized():
            return 0
        world = dist.get_world_size()
        if world != self.replicas:
            raise ValueError(
                f"`plan` has {self.replicas} replicas, but the job has {world} processes; "
                "plan for as many, or give `rank`."
            )
        return dist.get_rank()

    def __len__(self) -> int:
        """Return the steps of an epoch."""
        if self.drop_last:
            return self.num_samples // self.global_batch
        return self._all_steps()

    def _all_steps(self) -> int:
        """Return the steps of an epoch with the last, short one, if there is one."""
        return -(-self.num_samples // self.global_batch)

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration begin at the first step of an epoch.

        Args:
            epoch: Its number, from 0. The present one, set again, changes nothing.
        """
        if epoch != self.epoch:
            self.epoch = epoch
            self.step = 0

    def counts(self, step: int, epoch: int | None = None) -> tuple[int, ...]:
        """Return the samples of each replica in a step.

        Args:
            step: Its number in the epoch, from 0.
            epoch: The epoch; ``None`` is the present one.
        """
        if epoch is None:
            epoch = self.epoch
        number = epoch * len(self) + step
        shares = next(shares for first, shares in reversed(self.plans) if first <= number)
        left = self.num_samples - step * self.global_batch
        return deal(min(self.global_batch, left), shares)

    def replan(self, plan: HasShares | Sequence[int], step: int | None = None) -> None:
        """Deal by other shares of the same global batch from a step on.

        All replicas must change at the same step, one that none has read.

        Args:
            plan: A `Partition`, or the local batch of each replica.
            step: The first step that is dealt by it, counted over all epochs; ``None`` is the
                one at which iterating begins. In mid-epoch it is the caller who knows what was
                read.

        Raises:
            ValueError: The shares have another number or sum, or the step lies before the present.
        """
        shares = shares_of(plan)
        present = self.epoch * len(self) + self.step
        last_change = self.plans[-1][0]
        first = max(present, last_change)
        if step is None:
            step = first
        fits = len(shares) == self.replicas and sum(shares) == self.global_batch
        if not fits or min(shares) < 0 or step < first:
            allowed = f"{self.replicas} numbers >= 0, sum {self.global_batch}, step >= {first}"
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
        # queries come in the order of the sampler that drew them
        if self.shuffle and self.queries is None:
            order = rng.permutation(self.num_samples)
        if self.shards is not None:
            self._take_own(order, np.array(self.shards), epoch)
        return order

    def _take_own(self, order: np.ndarray, owned: np.ndarray, epoch: int) -> None:
        """Change an epoch's order so that each replica draws what it owns, in place.

        Each replica's places in the epoch, in this order, get what it owns.
        """
        by_step = [self.counts(step, epoch) for step in range(self._all_steps())]
        counts = np.concatenate(by_step)
        # the replica that takes each place of the epoch
        taker = np.repeat(np.arange(len(counts)) % self.replicas, counts)
        # the places that replica 0 takes, then those of replica 1, ..., each in the epoch's order
        places = order[np.argsort(taker[order], kind="stable")]
        order[places] = owned

    def keys(self, epoch: int, numbers: Sequence[int]) -> list[Any]:
        """Return what the data set is asked for: the samples' numbers, or their queries.

        Args:
            epoch: The epoch.
            numbers: Of samples in it.
        """
        if self.queries is None:
            return list(numbers)
        drawn = self.queries.of(epoch)
        return [drawn[number] for number in numbers]

    @property
    def first_key(self) -> Any:
        """What the data set is asked for to see how a sample looks."""
        if self.queries is None:
            return 0
        return self.queries.first

    def steps(
        self, epoch: int | None = None, step: int | None = None
    ) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        """Go through an epoch, for all replicas.

        Args:
            epoch: The epoch; ``None`` is the present one.
            step: The first step; ``None`` is the present one.

        Yields:
            The samples of each replica in a step, and their numbers, first those of rank 0.
        """
        if epoch is None:
            epoch = self.epoch
        if step is None:
            step = self.step
        order = self.permutation(epoch)
        for number in range(step, len(self)):
            start = number * self.global_batch
            yield self.counts(number, epoch), order[start : start + self.global_batch]

    def __iter__(self) -> Deal:
        return Deal(self, Position(self.epoch, self.step))

    def state_dict(self) -> dict[str, Any]:
        """Return the present position, the plans, and what they belong to."""
        return self.state_at(Position(self.epoch, self.step))

    def state_at(self, position: Position) -> dict[str, Any]:
        """Return the state of a training that goes on from a position.

        Args:
            position: The step that comes next.
        """
        return {
            **self._belongs_to(),
            "shares": list(self._first_shares),
            "plans": [[start, list(shares)] for start, shares in self.plans],
            "epoch": position.epoch,
            "step": position.step,
        }

    def _belongs_to(self) -> dict[str, Any]:
        """Return what a position means nothing without."""
        shards = None
        if self.shards is not None:
            numbers = np.ascontiguousarray(self.shards, dtype=np.int64)
            shards = hashlib.sha256(numbers.tobytes()).hexdigest()[:16]
        return {
            "num_samples": self.num_samples,
            "global_batch": self.global_batch,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
            "shards": shards,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        With the shares that the training began with, its plans are taken over: the same samples
        come in the same batches. With others, those hold from here on, and each sample of the
        epoch still comes once.

        Args:
            state: What `state_dict` returned.

        Raises:
            ValueError: The state belongs to another training; the message names the field.
        """
        position = self.take_over(state)
        self.step = position.step

    def take_over(self, state: Mapping[str, Any]) -> Position:
        """Take over a state's plans and epoch, for a pass that is on its way in it.

        Args:
            state: What `state_dict` returned; see `load_state_dict`.

        Returns:
            The step that comes next in that pass; another one begins at the epoch's first.

        Raises:
            ValueError: The state belongs to another training; the message names the field.
        """
        require_fitting(state, self._belongs_to())
        position = Position(int(state["epoch"]), int(state["step"]))
        require_position(position, len(self))
        plans = [(int(start), tuple(int(n) for n in shares)) for start, shares in state["plans"]]
        own = self._first_shares
        first = tuple(state["shares"])
        if own != first:
            if self.shards is not None and position.step:
                raise ValueError(
                    f"`plan` is {own}, and was {first} in the state, in mid-epoch with "
                    "`shards`, whose borders would move; go on with the same plan."
                )
            plans = [(0, own)]
        self.plans = plans
        self.epoch = position.epoch
        self.step = 0
        return position
