"""A DataLoader that deals by shares, and knows where the training is.

It hands batches out and remembers the samples of each replica in them, for `balance`. Its position
is what was trained: it moves when a batch is balanced, and when a pass has handed out its last
batch. So a batch that workers read ahead, or a look at the first one, changes nothing.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Dataset, default_collate

from hetlib.balanced.batches import collate
from hetlib.balanced.sampler import BalancedSampler, HasShares, Position
from hetlib.errors import one_of

# Options of DataLoader that say which samples come together, as `plan` does.
_DEALT = ("batch_size", "batch_sampler")


@dataclass
class HandedOut:
    """A batch that the loop has."""

    position: Position  # of its step
    counts: tuple[int, ...]  # samples of each replica
    balanced: bool = False


class BalancedLoader(DataLoader[Any]):
    """Deal a data set to replicas by a plan, batch by batch.

    A pass goes on from the position: after an epoch left early, or after a state was loaded. One
    that has handed out its last batch is followed by the next epoch. A pass begun under
    ``torch.no_grad`` is an evaluation: it reads the whole epoch and changes nothing.

    Args:
        dataset: A data set with a length, the same on every replica.
        plan: A `Partition`, or the local batch of each replica; their sum is the global batch.
        rank: Number of this replica; ``None`` asks the job when the first batch is read.
        seed: Seed of the permutations, the same on all replicas.
        shuffle: Whether each epoch has an order of its own.
        drop_last: Leave out the last, short global batch of an epoch.
        shards: The samples in the order in which replicas own them; see `BalancedSampler`.
        empty: What a step gives that has no sample for this replica: ``"rows"``, tensors without
            rows, or ``"sample"``, one sample that `balance` gives the weight 0, for networks that
            cannot take none.
        options: Those of ``DataLoader``, such as ``num_workers``.

    Raises:
        ValueError: An argument is not allowed, or does not fit the others.

    >>> data = torch.utils.data.TensorDataset(torch.arange(10))
    >>> loader = BalancedLoader(data, [3, 1], rank=0, shuffle=False)
    >>> [len(batch) for (batch,) in loader]
    [3, 3, 1]
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        plan: HasShares | Sequence[int],
        *,
        rank: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        shards: Sequence[int] | np.ndarray | None = None,
        empty: str = "rows",
        collate_fn: Callable[[list[Any]], Any] | None = None,
        **options: Any,
    ) -> None:
        one_of("empty", empty, ("rows", "sample"))
        given = sorted(set(options) & set(_DEALT))
        if given:
            raise ValueError(f"`{given[0]}` is given, but `plan` says which samples come together.")
        sampler = BalancedSampler(
            len(dataset),  # type: ignore[arg-type]
            plan,
            rank=rank,
            seed=seed,
            shuffle=shuffle,
            drop_last=drop_last,
            shards=shards,
        )
        merge = collate(dataset, collate_fn or default_collate, empty=empty)
        super().__init__(dataset, batch_sampler=sampler, collate_fn=merge, **options)
        self._dealer = sampler
        self._trained = Position(0, 0)
        self._handed_out: deque[HandedOut] = deque()
        self._pass = 0  # number of the latest training pass

    @property
    def dealer(self) -> BalancedSampler:
        """The sampler that deals; its own position is that of the pass begun last."""
        return self._dealer

    @property
    def counts(self) -> tuple[int, ...]:
        """Samples of each replica in the batch handed out last."""
        return self._last().counts

    @property
    def epoch(self) -> int:
        """Epoch of the batch handed out last, or of the position before there is one."""
        if self._handed_out:
            return self._last().position.epoch
        return self._trained.epoch

    @property
    def step(self) -> int:
        """Step in the epoch of the batch handed out last, or of the position."""
        if self._handed_out:
            return self._last().position.step
        return self._trained.step

    def _last(self) -> HandedOut:
        if not self._handed_out:
            raise RuntimeError("no batch was handed out yet; read one from the loader first.")
        return self._handed_out[-1]

    def set_epoch(self, epoch: int) -> None:
        """Begin the next pass at the first step of an epoch.

        Args:
            epoch: Its number, from 0. The present one, set again, changes nothing.
        """
        if epoch != self._trained.epoch:
            self._trained = Position(epoch, 0)
            self._handed_out.clear()

    def replan(self, plan: HasShares | Sequence[int], step: int | None = None) -> None:
        """Deal by other shares of the same global batch from a step on.

        Every replica calls it at the same point of its loop. Batches that were dealt already, by
        workers that read ahead, keep their counts.

        Args:
            plan: A `Partition`, or the local batch of each replica.
            step: The first step that is dealt by it, counted over all epochs; ``None`` is the
                first one that no replica has read, which they agree on by one small all-reduce.

        Raises:
            ValueError: The shares have another number or sum, or the step was read.
        """
        if step is None:
            step = self._first_unread()
        self._dealer.replan(plan, step)

    def _first_unread(self) -> int:
        unread = torch.tensor(self._number(self._trained))
        if self._handed_out:
            read = self._handed_out[-1].position
            ahead = self.num_workers * (self.prefetch_factor or 0)
            step = min(read.step + 1 + ahead, len(self))
            unread = torch.tensor(self._number(Position(read.epoch, step)))
        if dist.is_initialized() and dist.get_world_size() > 1:
            if dist.get_backend() == "nccl":
                unread = unread.cuda()
            dist.all_reduce(unread, dist.ReduceOp.MAX)
        return int(unread)

    def _number(self, position: Position) -> int:
        """Return a step's number over all epochs."""
        return position.epoch * len(self) + position.step

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # The rank is asked here, and workers start here, not with the first batch: a fork right
        # after a collective of the loop can hang.
        self._require_job()
        if not torch.is_grad_enabled():
            self._begin_dealing(Position(self._trained.epoch, 0))
            return Evaluation(self._get_iterator())
        self._pass += 1
        self._handed_out.clear()
        self._begin_dealing(self._trained)
        return TrainingPass(self, super().__iter__(), self._trained, self._pass)

    def _begin_dealing(self, start: Position) -> None:
        self._dealer.epoch = start.epoch
        self._dealer.step = start.step

    def _require_job(self) -> None:
        """Refuse a plan for several replicas where there is but this process."""
        alone = not dist.is_initialized() and not self._dealer.knows_rank
        if alone and self._dealer.replicas > 1:
            raise ValueError(
                f"`plan` has {self._dealer.replicas} replicas, but there is no job; start it with "
                "torchrun and call torch.distributed.init_process_group, or give `rank`."
            )

    def hand_out(self, number: int, position: Position) -> None:
        """Note that a pass gives a batch to the loop.

        Args:
            number: Of the pass; those of an earlier one change nothing.
            position: Of the batch's step.
        """
        if number != self._pass:
            return
        counts = self._dealer.counts(position.step, position.epoch)
        while self._handed_out and self._handed_out[0].balanced:
            self._handed_out.popleft()
        self._handed_out.append(HandedOut(position, counts))
        if position.step + 1 == len(self):
            self._trained = self._after(position)

    def _after(self, position: Position) -> Position:
        if position.step + 1 < len(self):
            return Position(position.epoch, position.step + 1)
        return Position(position.epoch + 1, 0)

    def take_batch(self, samples: int | None = None, *, counted: bool = False) -> float:
        """Move the position behind a batch, whole or the part of it that is balanced now.

        Args:
            samples: Of the part; ``None`` is the whole local batch.
            counted: Whether the loop counts by itself: then the batch is the oldest one that was
                handed out and not balanced, and no weight is asked for.

        Returns:
            The factor of the loss, P m / n.

        Raises:
            RuntimeError: It is not clear which batch it is, or not as much of it is left.
        """
        waiting = [batch for batch in self._handed_out if not batch.balanced]
        if counted:
            if waiting:
                self._finish(waiting[0])
            return 1.0
        batch = self._last()
        older = [other for other in waiting if other is not batch]
        if older:
            raise RuntimeError(
                f"{len(older) + 1} batches were handed out since the last one was balanced: the "
                "loop reads ahead or skips. Count what the loss is the mean over: "
                "balance(loss, loader, count=len(targets))."
            )
        own = batch.counts[self._dealer.rank]
        if samples is None:
            samples = own
        elif not 0 <= samples <= own:
            raise RuntimeError(
                f"`samples` is {samples}, but {own} samples were dealt to this replica; give the "
                "size of the part of the batch that the loss is the mean over."
            )
        self._finish(batch)
        return len(batch.counts) * samples / sum(batch.counts)

    def _finish(self, batch: HandedOut) -> None:
        batch.balanced = True
        self._trained = self._after(batch.position)

    def state_dict(self) -> dict[str, Any]:
        """Return the position, after the batch balanced last or the pass ended last, and the plans.

        Returns:
            Plain values, among them what they belong to.
        """
        return self._dealer.state_at(self._trained)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, in the next pass.

        Args:
            state: What `state_dict` returned; see `BalancedSampler.load_state_dict`.

        Raises:
            ValueError: The state belongs to another training; the message names the field.
        """
        self._dealer.load_state_dict(state)
        self._trained = Position(self._dealer.epoch, self._dealer.step)
        self._handed_out.clear()
        self._pass += 1


class TrainingPass(Iterator[Any]):
    """A pass that hands batches out.

    Args:
        loader: Whose pass it is.
        batches: What reads them.
        start: Position of the first.
        number: Of the pass.
    """

    def __init__(
        self, loader: BalancedLoader, batches: Iterator[Any], start: Position, number: int
    ) -> None:
        self._loader = loader
        self._batches = batches
        self._next = start
        self._number = number

    def __len__(self) -> int:
        return len(self._loader)

    def __next__(self) -> Any:
        batch = next(self._batches)
        self._loader.hand_out(self._number, self._next)
        self._next = Position(self._next.epoch, self._next.step + 1)
        return batch


class Evaluation(Iterator[Any]):
    """A pass that changes nothing.

    Args:
        batches: What reads them.
    """

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches

    def __next__(self) -> Any:
        return next(self._batches)
