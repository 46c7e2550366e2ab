"""A pass over an epoch: the samples of one replica, step by step."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np


class Position(NamedTuple):
    """A place in the training: the step that comes next."""

    epoch: int
    # in the epoch
    step: int


class Dealt(NamedTuple):
    """A step that was dealt."""

    position: Position
    # samples of each replica
    counts: tuple[int, ...]


class Deals(Protocol):
    """What a pass asks of a sampler."""

    @property
    def rank(self) -> int:
        """Number of this replica."""

    @property
    def global_batch(self) -> int:
        """Samples of a full step, over all replicas."""

    def __len__(self) -> int:
        """Return the steps of an epoch."""

    def counts(self, step: int, epoch: int | None = None) -> tuple[int, ...]:
        """Return the samples of each replica in a step."""

    def permutation(self, epoch: int) -> np.ndarray:
        """Return the order of the samples in an epoch."""

    def keys(self, epoch: int, numbers: Sequence[int]) -> list[Any]:
        """Return what the data set is asked for, from the samples' numbers."""

    def state_at(self, position: Position) -> dict[str, Any]:
        """Return the state of a training that goes on from a position."""

    def take_over(self, state: Mapping[str, Any]) -> Position:
        """Take over the plans of a state, and return its position."""

    def note_begun(self) -> None:
        """Note that a pass deals its first step."""

    def keep_set_epoch(self) -> None:
        """Let an epoch that was set follow a pass that goes on in an older one."""


class Deal:
    """A pass over one epoch: an iterator over the samples of one replica.

    The rank is asked for when the first step is dealt. Each step is dealt by the plan that holds
    when it is: one that was dealt keeps its counts.

    Args:
        sampler: What deals.
        start: The first step.
        record: Where each step that is dealt is noted, oldest first; ``None`` is nowhere.
    """

    def __init__(self, sampler: Deals, start: Position, record: deque[Dealt] | None = None) -> None:
        self._sampler = sampler
        self._epoch = start.epoch
        self._step = start.step
        self._record = record
        self._order: np.ndarray | None = None

    def __iter__(self) -> "Deal":
        return self

    def __next__(self) -> list[Any]:
        sampler = self._sampler
        if self.is_over:
            raise StopIteration
        rank = sampler.rank
        if self._order is None:
            self._order = sampler.permutation(self._epoch)
            sampler.note_begun()
        counts = sampler.counts(self._step, self._epoch)
        if self._record is not None:
            self._record.append(Dealt(self.position, counts))

        start = self._step * sampler.global_batch + sum(counts[:rank])
        own = self._order[start : start + counts[rank]]
        self._step += 1
        return sampler.keys(self._epoch, own.tolist())

    @property
    def position(self) -> Position:
        """The step that is dealt next."""
        return Position(self._epoch, self._step)

    @property
    def is_over(self) -> bool:
        """Whether all steps of the epoch are dealt."""
        return self._step >= len(self._sampler)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of a training that goes on from what was dealt so far."""
        position = self.position
        if position.step == len(self._sampler):
            position = Position(position.epoch + 1, 0)
        return self._sampler.state_at(position)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, in this pass; the next one begins its epoch at the first step.

        Args:
            state: What `state_dict` returned.

        Raises:
            ValueError: The state belongs to another training; the message names the field.
        """
        position = self._sampler.take_over(state)
        self._sampler.keep_set_epoch()
        self._epoch = position.epoch
        self._step = position.step
        self._order = None
