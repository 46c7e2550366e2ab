"""A pass of a loader: what deals the batches, and what hands them out."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch.distributed as dist

from hetlib.balanced.accelerated import Accelerated
from hetlib.balanced.dealing import Deal, Dealt, Position
from hetlib.balanced.elsewhere import Elsewhere
from hetlib.balanced.progress import HandedOut, Progress
from hetlib.balanced.sampler import BalancedSampler
from hetlib.balanced.sizes import sizes_of
from hetlib.balanced.watching import Watch


class Dealer(BalancedSampler):
    """The sampler of a loader: it begins where a pass does, and notes what it deals."""

    # Accelerate's `join_uneven_inputs` asks for it, and sets it
    even_batches = False
    # the latest pass's iterator, and what it has dealt and not yet handed out
    latest: tuple[Deal, deque[Dealt]] | None = None
    _is_for_own = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.elsewhere = Elsewhere()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "latest": None, "elsewhere": Elsewhere()}

    @property
    def rank(self) -> int:
        """Number of this replica, as it was given or as the job says now.

        Raises:
            ValueError: There is no job, or one with another number of processes.
        """
        alone = self._rank is None and not dist.is_initialized()
        if alone and self.replicas > 1:
            raise ValueError(
                f"`plan` has {self.replicas} replicas, but there is no job; start it with torchrun "
                "and call torch.distributed.init_process_group, or give `rank`."
            )
        return super().rank

    def begin(self, start: Position) -> None:
        """Let the next iteration begin at a step.

        Args:
            start: The step.
        """
        self.epoch = start.epoch
        self.step = start.step

    @contextmanager
    def own_pass(self, start: Position) -> Iterator[None]:
        """Deal to the loader whose sampler this is; other loaders get an epoch from its beginning.

        Args:
            start: The first step.
        """
        self.begin(start)
        self._is_for_own = True
        try:
            yield
        finally:
            self._is_for_own = False

    def __iter__(self) -> Deal:
        if not self._is_for_own:
            # Accelerate's `skip_first_batches` makes a loader that counts from the first step
            whole_epoch = Deal(self, Position(self.epoch, 0))
            self.elsewhere.begin(whole_epoch)
            return whole_epoch
        record: deque[Dealt] = deque()
        deal = Deal(self, Position(self.epoch, self.step), record)
        self.latest = (deal, record)
        return deal


@dataclass(frozen=True)
class Marks:
    """What is noted of each batch.

    Attributes:
        fills: Whether a replica without samples gets one sample of weight 0.
        may_leave_out: Whether what merges samples is the caller's, and may leave some out.
    """

    fills: bool
    may_leave_out: bool


class Begun(NamedTuple):
    """What a pass reads from.

    Attributes:
        batches: What reads them.
        record: What was dealt to be read, oldest first.
    """

    batches: Iterator[Any]
    record: deque[Dealt]


class TrainingPass(Iterator[Any]):
    """A pass that notes what it hands out.

    Args:
        begin: Begins to deal at the position.
        progress: Where it is noted; the pass is the one begun last.
        marks: What is noted of each batch.
        watch: Looks at what is handed out.
        accelerated: What Accelerate is told, where it prepared the loader.
    """

    def __init__(
        self,
        begin: Callable[[], Begun],
        progress: Progress,
        marks: Marks,
        watch: Watch,
        accelerated: Accelerated | None = None,
    ) -> None:
        self._begin = begin
        self._progress = progress
        self._marks = marks
        self._watch = watch
        self._is_first = True
        self._accelerated = accelerated
        self._deal()
        if accelerated is not None:
            accelerated.begin()

    def _deal(self) -> None:
        self._batches, self._record = self._begin()
        self._run = self._progress.run
        self._epoch = self._progress.start.epoch

    def __len__(self) -> int:
        return self._progress.steps

    def __next__(self) -> Any:
        if self._is_first and self._progress.moved_at > self._run:
            # Trainers set the epoch, or load a checkpoint, with the iterator already in hand.
            self._deal()
        self._watch.next_is_asked()
        try:
            batch = next(self._batches)
        except StopIteration:
            self._watch.ended()
            self._progress.end(self._epoch, self._run)
            if self._accelerated is not None:
                self._accelerated.end()
            raise
        except Exception:
            # a sample that cannot be read takes its step along
            if self._record:
                self._record.popleft()
            raise
        dealt = self._record.popleft()
        self._hand_out(batch, dealt)
        if self._accelerated is None:
            return batch
        if dealt.position.step + 1 == len(self):
            self._accelerated.note_last()
        return self._accelerated.placed(batch)

    def _hand_out(self, batch: Any, dealt: Dealt) -> None:
        handed = HandedOut(
            dealt.position,
            dealt.counts,
            self._run,
            fills=self._marks.fills and 0 in dealt.counts,
            sizes=sizes_of(batch) if self._marks.may_leave_out else None,
        )
        self._progress.hand_out(handed, is_first=self._is_first)
        self._watch.handed_out(handed)
        self._is_first = False
