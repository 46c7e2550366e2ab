"""How far a training is: what was handed out, what was balanced, and where the next pass begins.

The position is what was trained. It moves when a batch is balanced, and when a pass ends; a batch
that was handed out and dropped, as in a look at the first one, moves nothing.
"""

from collections import deque
from dataclasses import dataclass, field

from hetlib.balanced.dealing import Position
from hetlib.balanced.sizes import Sizes

BEGINNING = Position(0, 0)


@dataclass(eq=False)
class HandedOut:
    """A batch that the loop has.

    Attributes:
        position: Its step.
        counts: Samples of each replica in it.
        run: Number of the pass that handed it out.
        fills: Whether some replica has one sample of weight 0 in place of none.
        sizes: Those of this replica's batch, where a ``collate_fn`` of the caller's merged it and
            could have left samples out.
        is_over: Whether it was balanced and its pass has ended: what comes now are batches that
            somebody has kept.
    """

    position: Position
    counts: tuple[int, ...]
    run: int
    fills: bool = False
    sizes: Sizes | None = None
    is_over: bool = False


@dataclass
class Progress:
    """The bookkeeping of a loader.

    Attributes:
        steps: Steps of an epoch.
        trained: The step that comes next, after the batch balanced last or the pass ended last.
        start: Where the next pass begins.
        run: Number of the present pass.
        moved_at: Above the numbers of the passes that were begun before the position was set.
        last: The batch handed out last.
        waiting: Batches handed out and not yet balanced, oldest first.
    """

    steps: int
    trained: Position = BEGINNING
    start: Position = BEGINNING
    run: int = 0
    moved_at: int = 0
    last: HandedOut | None = None
    waiting: deque[HandedOut] = field(default_factory=deque)
    # whether batches of the present pass are balanced with the loader
    _balances: bool = False
    # whether the loop had read ahead when it balanced last
    _reads_ahead: bool = False

    def move(self, position: Position) -> None:
        """Let the next pass begin at a position; what was handed out no longer moves it.

        Args:
            position: The step that comes next.
        """
        self.trained = position
        self.start = position
        self.run += 1
        self.moved_at = self.run
        self.waiting.clear()

    def begin(self) -> Position:
        """Begin a pass, and return its first step."""
        # A loop that reads ahead over the end of an epoch still has that epoch's last batches.
        has_last = self._reads_ahead and self.trained != self.start
        if not has_last:
            self.waiting.clear()
            self.trained = self.start
        self.run += 1
        self._balances = False
        return self.start

    def hand_out(self, batch: HandedOut, *, is_first: bool) -> None:
        """Note that the loop was given a batch.

        Args:
            batch: What it was given.
            is_first: Whether it is the first of its pass: then it may be but a look.
        """
        self.last = batch
        if batch.run != self.run:
            return
        self.waiting.append(batch)
        is_last = batch.position.step + 1 == self.steps
        if is_last and not is_first:
            self.start = self._after(batch.position)
            # A state that is saved before the last batch is balanced is to be without it.
            if not self._balances:
                self.trained = self.start

    def end(self, epoch: int, run: int) -> None:
        """Note that a pass has no further batch.

        Args:
            epoch: Its epoch.
            run: Its number.
        """
        if run != self.run:
            return
        self.start = Position(epoch + 1, 0)
        if self.last is not None:
            self.last.is_over = not self.waiting
        if not (self._reads_ahead and self.waiting):
            self.trained = self.start

    def oldest(self) -> HandedOut | None:
        """Return the oldest batch that was not balanced, or the last one that was."""
        if self.waiting:
            return self.waiting[0]
        return self.last

    def left_out(self) -> HandedOut | None:
        """Return the batch handed out last, if the loop was expected to balance it and has not.

        A loop that reads ahead has not come to it yet, and one that has balanced nothing in this
        pass may balance by counts alone.
        """
        if self._reads_ahead or not self._balances or self.last not in self.waiting:
            return None
        return self.last

    def newest(self) -> HandedOut:
        """Return the batch handed out last.

        Raises:
            RuntimeError: There is none, or an older one was not balanced, or its pass has ended.
        """
        if self.last is None:
            raise RuntimeError("no batch was handed out yet; read one from the loader first.")
        if self.last.is_over:
            raise RuntimeError(
                "the pass has ended and its last batch was balanced: is this one of the batches "
                "before, as itertools.cycle and lists keep them? Read the loader anew in each "
                "epoch, or count what the loss is the mean over: "
                "balance(loss, count=len(targets))."
            )
        older = [batch for batch in self.waiting if batch is not self.last]
        if older:
            raise RuntimeError(
                f"{len(older) + 1} batches were handed out since the last one was balanced: the "
                "loop reads ahead or skips. Count what the loss is the mean over: "
                "balance(loss, loader, count=len(targets)), in Lightning "
                "Balanced(count=lambda batch: ...)."
            )
        return self.last

    def balance(self, batch: HandedOut) -> None:
        """Move the position behind a batch; another loss of the same batch moves nothing.

        Args:
            batch: The one that is balanced.
        """
        if batch not in self.waiting:
            return
        self._reads_ahead = len(self.waiting) > 1
        self.waiting.remove(batch)
        self.trained = self._after(batch.position)
        if batch.run == self.run:
            self._balances = True
            if self.start.epoch == batch.position.epoch:
                self.start = self.trained

    def present(self) -> Position:
        """Return the step of the batch handed out last in this pass, else the one that comes."""
        if self.last is not None and self.last.run == self.run:
            return self.last.position
        return self.start

    def number(self, position: Position) -> int:
        """Return a step's number over all epochs."""
        return position.epoch * self.steps + position.step

    def _after(self, position: Position) -> Position:
        if position.step + 1 < self.steps:
            return Position(position.epoch, position.step + 1)
        return Position(position.epoch + 1, 0)
