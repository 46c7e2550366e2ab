"""What is dealt in each step of each epoch, whoever asks, and wherever the training is."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hetlib.balanced.order import put_owned, shuffled
from hetlib.balanced.queries import Queries
from hetlib.balanced.schedule import Schedule, Shares
from hetlib.balanced.shares import gives_queries, require_no_shards, samples_of, shards_of, split
from hetlib.inputs import MOST_SEED, flag, whole


class Epochs:
    """The epochs of a training: a pure function of the arguments, and of the plans that come later.

    Args:
        num_samples: Size of the data set, or a sampler of queries.
        shares: Local batch of each replica at the first step.
        seed: Seed of the permutations.
        shuffle: Whether each epoch has an order of its own.
        drop_last: Leave out the last, short global batch of an epoch.
        shards: The samples in the order in which replicas own them; ``None``: no borders.

    Raises:
        ValueError: An argument is not allowed, or does not fit the others.
    """

    def __init__(
        self,
        num_samples: int | Iterable[Any],
        shares: Shares,
        *,
        seed: int,
        shuffle: bool,
        drop_last: bool,
        shards: Sequence[int] | np.ndarray | None,
    ) -> None:
        self.seed = whole("seed", seed, low=0, high=MOST_SEED)
        self.shuffle = flag("shuffle", shuffle)
        self.drop_last = flag("drop_last", drop_last)
        # drawn anew each epoch; None: the samples' numbers are dealt
        self.queries: Queries | None = None
        size: object = num_samples
        if isinstance(num_samples, Iterable) and gives_queries(num_samples):
            require_no_shards(shards)
            self.queries = Queries(num_samples, self.seed)
            size = len(self.queries)
        self.num_samples = samples_of(size, shares, self.drop_last)
        self.shards = shards_of(shards, self.num_samples)
        self.global_batch = sum(shares)
        # the same plans make the same run
        self._schedule = Schedule(shares)

    @property
    def plans(self) -> list[tuple[int, Shares]]:
        """The first step of each plan, counted over all epochs, and its shares, in order."""
        return self._schedule.plans

    @property
    def replicas(self) -> int:
        """Number of replicas of the plan."""
        return len(self._schedule.first)

    def __len__(self) -> int:
        """Return the steps of an epoch."""
        if self.drop_last:
            return self.num_samples // self.global_batch
        return self._all_steps()

    def _all_steps(self) -> int:
        """Return the steps of an epoch with the last, short one, if there is one."""
        return -(-self.num_samples // self.global_batch)

    def shares_at(self, number: int) -> Shares:
        """Return the local batches of the plan that a step is dealt by.

        Args:
            number: Of the step, counted over all epochs.
        """
        return self._schedule.at(number)

    def counts_in(self, epoch: int, step: int) -> Shares:
        """Return the samples of each replica in a step.

        Args:
            epoch: Its number, from 0.
            step: Its number in the epoch, from 0.

        Raises:
            ValueError: There is no such step.
        """
        step = whole("step", step, low=0, high=len(self) - 1)
        return self._counts(epoch, step)

    def _counts(self, epoch: int, step: int) -> Shares:
        """Return the samples of each replica in a step, also in the one that is left out."""
        # what is left out belongs to this epoch: the next one's plan does not deal it
        in_force = min(step, len(self) - 1)
        shares = self.shares_at(epoch * len(self) + in_force)
        left = self.num_samples - step * self.global_batch
        return split(min(self.global_batch, left), shares)

    def permutation(self, epoch: int) -> np.ndarray:
        """Return the order of the samples in an epoch, the same on every replica.

        Args:
            epoch: Its number, from 0.

        Returns:
            The samples' numbers, ``(num_samples,)``.

        Raises:
            ValueError: There is no such epoch.
        """
        epoch = whole("epoch", epoch, low=0)
        # queries come in the order of the sampler that drew them
        if self.shuffle and self.queries is None:
            order = shuffled(self.num_samples, self.seed, epoch)
        else:
            order = np.arange(self.num_samples)
        if self.shards is not None:
            by_step = [self._counts(epoch, step) for step in range(self._all_steps())]
            put_owned(order, self.shards, by_step)
        return order

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

    def _belongs_to(self) -> dict[str, Any]:
        """Return what a position means nothing without."""
        shards = None
        if self.shards is not None:
            shards = hashlib.sha256(self.shards.tobytes()).hexdigest()[:16]
        return {
            "num_samples": self.num_samples,
            "global_batch": self.global_batch,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
            "shards": shards,
        }
