"""A DataLoader that deals by shares, and knows where the training is.

It hands batches out and remembers the samples of each replica in them, for `balance`. Its position
is what was trained: it moves when a batch is balanced, and when a pass has handed out its last
batch. So a batch that workers read ahead, or a look at the first one, changes nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from hetlib.balanced.accelerated import LeftByAccelerate
from hetlib.balanced.batches import collate
from hetlib.balanced.counting import Group, largest_of_all
from hetlib.balanced.dealing import Deal, Position
from hetlib.balanced.forking import rest_before_fork
from hetlib.balanced.passes import Begun, Dealer, Marks, TrainingPass
from hetlib.balanced.progress import HandedOut, Progress
from hetlib.balanced.refusals import (
    checked_options,
    in_words_of_loader,
    require_all_rows,
    samples_from,
)
from hetlib.balanced.sampler import BalancedSampler
from hetlib.balanced.shares import HasShares
from hetlib.balanced.watching import Watch
from hetlib.balanced.weights import replica_weights
from hetlib.inputs import optional, whole


class BalancedLoader(LeftByAccelerate, DataLoader[Any]):
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
        sampler: One of queries, such as torchgeo's, in place of the samples' numbers: each epoch
            its queries are drawn once, the same on every replica, and dealt in their order.
        empty: What a step gives that has no sample for this replica: ``"rows"``, tensors without
            rows, or ``"sample"``, one sample that `balance` gives the weight 0 where it is told
            the loader, for networks that cannot take none.
        collate_fn: What makes a batch of a list of samples; ``None`` is torch's own.
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
        sampler: Iterable[Any] | None = None,
        empty: str = "rows",
        collate_fn: Callable[[list[Any]], Any] | None = None,
        **options: Any,
    ) -> None:
        options = checked_options(options)
        samples = samples_from(dataset, sampler)
        with in_words_of_loader(sampler):
            dealer = Dealer(
                samples,
                plan,
                rank=rank,
                seed=seed,
                shuffle=shuffle,
                drop_last=drop_last,
                shards=shards,
            )
        given = default_collate if collate_fn is None else collate_fn
        merge = collate(dataset, given, empty=empty, first=dealer.first_key)
        super().__init__(dataset, batch_sampler=dealer, collate_fn=merge, **options)
        self._dealer = dealer
        # torch's own collate_fn merges all samples that it is given
        self._marks = Marks(fills=empty == "sample", may_leave_out=collate_fn is not None)
        self._progress = Progress(len(dealer))
        # the iterator of the latest training pass, which knows what workers were given
        self._deal: Deal | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy has the position, and nothing of a pass that is on its way.
        nothing = dict.fromkeys(("_iterator", "_deal", "_accelerated"))
        at_rest = Progress(self._progress.steps, self._progress.trained, self._progress.trained)
        return {**self.__dict__, "_progress": at_rest, **nothing}

    @property
    def dealer(self) -> BalancedSampler:
        """The sampler that deals; its own position is that of the pass begun last."""
        return self._dealer

    @property
    def fills(self) -> bool:
        """Whether a replica without samples in a step gets one of weight 0 (``empty="sample"``)."""
        return self._marks.fills

    @property
    def shares(self) -> tuple[int, ...]:
        """Local batches of the plan that was set last: made with, dealt anew, or loaded."""
        _, shares = self._dealer.plans[-1]
        return shares

    @property
    def counts(self) -> tuple[int, ...]:
        """Samples of each replica in the batch handed out last."""
        last = self._progress.last
        if last is None:
            raise RuntimeError("no batch was handed out yet; read one from the loader first.")
        return last.counts

    @property
    def epoch(self) -> int:
        """Epoch of the batch handed out last, or of the position before there is one."""
        return self._progress.present().epoch

    @property
    def step(self) -> int:
        """Step in the epoch of the batch handed out last, or of the position."""
        return self._progress.present().step

    def set_epoch(self, epoch: int) -> None:
        """Begin the next pass at the first step of an epoch.

        Args:
            epoch: Its number, from 0. The present one, set again, changes nothing.

        Raises:
            ValueError: It is no whole number >= 0.
        """
        epoch = whole("epoch", epoch, low=0)
        if epoch != self._progress.start.epoch:
            self._move(Position(epoch, 0))

    def _move(self, position: Position) -> None:
        """Let the next pass begin at a position."""
        self._progress.move(position)
        self._dealer.begin(position)
        self._dealer.elsewhere.forget()
        self._deal = None

    def replan(
        self,
        plan: HasShares | Sequence[int],
        step: int | None = None,
        *,
        group: Group = None,
    ) -> None:
        """Deal by other shares of the same global batch from a step on.

        Every replica calls it at the same point of its loop. Batches that were dealt already, by
        workers that read ahead, keep their counts.

        Args:
            plan: A `Partition`, or the local batch of each replica.
            step: The first step that is dealt by it, counted over all epochs; ``None`` is the
                first one that no replica has read, and not before the last change; they agree on it
                by one small all-reduce.
            group: Process group of the replicas; ``None`` is all of the job.

        Raises:
            ValueError: The shares have another number or sum, or the step was read, or lies before
                the last change.
        """
        unread = self._first_unread()
        step = optional(whole, "step", step, low=0)
        if step is None:
            last_change, _ = self._dealer.plans[-1]
            step = largest_of_all(max(unread, last_change), group)
        if step < unread:
            raise ValueError(
                f"`plan` is to hold from step {step} on, but this replica has read as far as step "
                f"{unread}; allowed is step >= {unread} on every replica, or None."
            )
        self._dealer.begin(self._progress.start)
        self._dealer.replan(plan, step)

    def _first_unread(self) -> int:
        """Return the number of the first step that this replica's pass has not dealt."""
        start = self._progress.number(self._progress.start)
        if self._deal is None:
            return start
        return max(start, self._progress.number(self._deal.position))

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # Workers start here, not with the first batch: a fork right after a collective of the loop
        # can hang.
        if not torch.is_grad_enabled():
            return self._evaluation()
        watch = Watch(self._progress, self._dealer)
        return TrainingPass(self._begin, self._progress, self._marks, watch, self._accelerated)

    def _get_iterator(self) -> Any:
        if self.num_workers:
            rest_before_fork(self.multiprocessing_context)
        return super()._get_iterator()

    def _begin(self) -> Begun:
        """Deal from the position on, and start the workers."""
        self._follow_elsewhere()
        start = self._progress.begin()
        self._dealer.elsewhere.forget()
        with self._dealer.own_pass(start):
            batches = super().__iter__()
        assert self._dealer.latest is not None
        self._deal, record = self._dealer.latest
        return Begun(batches, record)

    def _follow_elsewhere(self) -> None:
        """Move the position behind an epoch whose rest another loader read and was trained."""
        trained = self._dealer.elsewhere.trained()
        if trained is not None:
            self._move(trained)

    def _evaluation(self) -> Iterator[Any]:
        with self._dealer.own_pass(Position(self._progress.start.epoch, 0)):
            batches: Iterator[Any] = self._get_iterator()
        if self._accelerated is None:
            return batches
        return map(self._accelerated.placed, batches)

    def take_batch(self, samples: int | None = None) -> tuple[HandedOut, float]:
        """Move the position behind the batch handed out last, or the part of it that is balanced.

        Args:
            samples: Of the part; ``None`` is the whole local batch.

        Returns:
            The batch, and the factor of the loss, P m / n.

        Raises:
            RuntimeError: It is not clear which batch it is, or it has not as many samples.
        """
        if not self._progress.waiting:
            self._dealer.elsewhere.refuse()
        batch = self._progress.newest()
        own = batch.counts[self._dealer.rank]
        if samples is None:
            require_all_rows(batch, own, self.collate_fn)
            samples = own
        if own == 0 and batch.fills:
            # one sample may be there, and has no weight
            samples = 0
        if not 0 <= samples <= own:
            raise RuntimeError(
                f"`samples` is {samples}, but {own} samples were dealt to this replica; give the "
                "size of the part of the batch that the loss is the mean over."
            )
        self._progress.balance(batch)
        weight = replica_weights(batch.counts, "samples")[self._dealer.rank]
        # of this replica's samples, in the loss; none are no part
        part = samples / max(own, 1)
        return batch, float(len(batch.counts) * weight * part)

    def take_counted_batch(self) -> tuple[HandedOut | None, bool]:
        """Move the position behind the oldest batch that was not balanced.

        Returns:
            The batch; and whether this replica has one sample of weight 0 in it, in place of none.
        """
        if self._dealer.elsewhere.is_read and not self._progress.waiting:
            self._dealer.elsewhere.note_balanced()
            return None, False
        batch = self._progress.oldest()
        if batch is None:
            return None, False
        self._progress.balance(batch)
        return batch, self._is_filler(batch)

    @property
    def has_filler(self) -> bool:
        """Whether the oldest batch that was not balanced is one sample of weight 0 here."""
        batch = self._progress.oldest()
        return batch is not None and self._is_filler(batch)

    def _is_filler(self, batch: HandedOut) -> bool:
        return batch.fills and batch.counts[self._dealer.rank] == 0

    def state_dict(self) -> dict[str, Any]:
        """Return the position, after the batch balanced last or the pass ended last, and the plans.

        Returns:
            Plain values, among them what they belong to.
        """
        self._follow_elsewhere()
        return self._dealer.state_at(self._progress.trained)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, in the next pass.

        Args:
            state: What `state_dict` returned; see `BalancedSampler.load_state_dict`.

        Raises:
            ValueError: The state belongs to another training; the message names the field.
        """
        self._move(self._dealer.take_over(state))
        self._progress.last = None
