"""Notices a loop that trains on uneven shares without balancing, or skips its empty batches.

Both go wrong without an error here: the first one trains with the plain mean of the replicas'
gradients, the second one leaves the other replicas to wait in their backward pass.
"""

import warnings
from typing import Protocol

import torch
import torch.distributed as dist

from hetlib.balanced.counting import world_of
from hetlib.balanced.progress import HandedOut, Progress

# Batches after which a loop is told that it balances no loss. Some loops read a few ahead.
LATE = 16


class _Balanced:
    """How many losses this process has balanced."""

    def __init__(self) -> None:
        self.losses = 0


_balanced = _Balanced()


def note_balanced() -> None:
    """Note that a loss was balanced, or that its framework does so itself."""
    _balanced.losses += 1


class HasRank(Protocol):
    """What knows the number of this replica."""

    @property
    def rank(self) -> int:
        """Number of this replica."""


class Watch:
    """Looks at what a pass hands out, and warns once of each.

    Args:
        progress: Knows what was balanced with the loader.
        dealer: Knows the number of this replica.
    """

    def __init__(self, progress: Progress, dealer: HasRank) -> None:
        self._progress = progress
        self._dealer = dealer
        self._losses_before = _balanced.losses
        self._read = 0
        # samples of each replica in a batch that is not the last, short one
        self._uneven: tuple[int, ...] | None = None
        self._has_warned = False

    def next_is_asked(self) -> None:
        """Look at the batch handed out last, before the loop gets the next one."""
        batch = self._progress.left_out()
        if batch is None or batch.counts[self._dealer.rank]:
            return
        self._warn(
            f"the loop goes on without balancing step {batch.position.step} of epoch "
            f"{batch.position.epoch}, which has no sample of this replica. Unless all replicas "
            "skip that step, the others wait for this one in their backward pass: pass the batch "
            "through like any other, `balance` gives its loss the weight 0."
        )

    def handed_out(self, batch: HandedOut) -> None:
        """Note a batch.

        Args:
            batch: What the loop was given.
        """
        self._read += 1
        is_last = batch.position.step + 1 == self._progress.steps
        if not is_last and len(set(batch.counts)) > 1:
            self._uneven = batch.counts
        if self._read == LATE:
            self._look_for_balanced()

    def ended(self) -> None:
        """Note that the pass has no further batch."""
        self._look_for_balanced()

    def _look_for_balanced(self) -> None:
        if self._uneven is None or _balanced.losses > self._losses_before:
            return
        is_a_job = dist.is_initialized() and world_of() > 1
        if not is_a_job or not torch.is_grad_enabled():
            return
        self._warn(
            f"{self._read} batches were read that are dealt as {list(self._uneven)}, and no loss "
            "was balanced: the plain mean of the replicas' gradients gives the samples of a small "
            "share too much weight. Call hetlib.balance(loss, loader) before `backward`; in "
            "Lightning add the callback Balanced(), to Hugging Face's Trainer the mixin "
            "BalancedTrainer. A pass that does not train is read under torch.no_grad()."
        )

    def _warn(self, words: str) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        warnings.warn(words, stacklevel=2)
