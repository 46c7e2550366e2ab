"""Which samples each replica gets in each step; every sample once an epoch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch.distributed as dist
from torch.utils.data import Sampler

from hetlib.balanced.dealing import Deal, Position
from hetlib.balanced.epochs import Epochs
from hetlib.balanced.schedule import Shares
from hetlib.balanced.shares import HasShares, rank_of, shares_of
from hetlib.balanced.state import State, state_of
from hetlib.inputs import optional, whole


class BalancedSampler(Epochs, Sampler[list[Any]]):
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
        super().__init__(
            num_samples,
            shares_of(plan),
            seed=seed,
            shuffle=shuffle,
            drop_last=drop_last,
            shards=shards,
        )
        # where iterating begins
        self.epoch = 0
        self.step = 0
        # the epoch that `set_epoch` chose, until a pass begins
        self._set_epoch: int | None = None
        self._rank = rank_of(rank, self._schedule.first)

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

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration begin at the first step of an epoch.

        Args:
            epoch: Its number, from 0. The present one, set again, changes nothing.

        Raises:
            ValueError: It is no whole number >= 0.
        """
        epoch = whole("epoch", epoch, low=0)
        self._set_epoch = epoch
        if epoch != self.epoch:
            self.epoch = epoch
            self.step = 0

    def note_begun(self) -> None:
        """Note that a pass deals its first step: what was set before has come to be."""
        self._set_epoch = None

    def keep_set_epoch(self) -> None:
        """Let an epoch that was set follow a pass that goes on in an older one.

        torchdata's loader loads a state when it is iterated, after `set_epoch`. One from the end of
        an epoch may hold an older snapshot: then it first reads what was left of that epoch.
        """
        if self._set_epoch is not None:
            self.epoch = max(self.epoch, self._set_epoch)

    def counts(self, step: int, epoch: int | None = None) -> tuple[int, ...]:
        """Return the samples of each replica in a step.

        Args:
            step: Its number in the epoch, from 0.
            epoch: The epoch; ``None`` is the present one.

        Raises:
            ValueError: There is no such step or epoch.
        """
        return self.counts_in(self._epoch_of(epoch), step)

    def _epoch_of(self, epoch: int | None) -> int:
        """Return an epoch's number, or the present one's for ``None``."""
        given = optional(whole, "epoch", epoch, low=0)
        return self.epoch if given is None else given

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
        first = optional(whole, "step", step)
        present = self.epoch * len(self) + self.step
        self._schedule.change(shares_of(plan), first, present)

    def steps(
        self, epoch: int | None = None, step: int | None = None
    ) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
        """Go through an epoch, for all replicas.

        Args:
            epoch: The epoch; ``None`` is the present one.
            step: The first step; ``None`` is the present one.

        Returns:
            For each step the samples of each replica, and their numbers, first those of rank 0.

        Raises:
            ValueError: There is no such step or epoch.
        """
        number = optional(whole, "step", step, low=0)
        if number is None:
            number = self.step
        return self._steps_from(Position(self._epoch_of(epoch), number))

    def _steps_from(self, start: Position) -> Iterator[tuple[Shares, np.ndarray]]:
        order = self.permutation(start.epoch)
        for number in range(start.step, len(self)):
            first = number * self.global_batch
            yield self.counts_in(start.epoch, number), order[first : first + self.global_batch]

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
        state = State(position, self._schedule.first, self.plans)
        return state.to_dict(self._belongs_to())

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
        there = state_of(state, self._belongs_to(), len(self))
        own = self._schedule.first
        plans = there.plans
        if own != there.shares:
            if self.shards is not None and there.position.step:
                raise ValueError(
                    f"`plan` is {own}, and was {there.shares} in the state, in mid-epoch with "
                    "`shards`, whose borders would move; go on with the same plan."
                )
            plans = [(0, own)]
        self._schedule.plans = plans
        self.epoch = there.position.epoch
        self.step = 0
        return there.position
