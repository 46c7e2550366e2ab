"""Steps of one replica on several batches against the clock, in blocks without a pause.

A processor may come in bursts: within a quota, a process runs at full speed and then waits, and one
that slept goes first for a while. Single steps then look faster than a run of them is. So steps are
timed in blocks that are as long as several bursts.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np

from hetlib.planning.speed import spread

_SLIVER = 8  # the smallest batch worth timing is an eighth of an equal share

# Seconds of a burst and the wait behind it: within a quota, a process runs at full speed and then
# waits for the rest of 0.1 s (Linux's default), and one that slept goes first for a while.
_PERIOD = 0.1

BLOCK = 3 * _PERIOD  # that a block of steps lasts, where the budget has room for it

_STEPS_A_BLOCK = 3  # at least, where a step is shorter than a period

_BLOCKS = 4  # of each batch, which a budget has room for at least, or they are shorter

_LEAST_BLOCKS = 3  # of each batch, before their spread says something

_LOOKS = 2  # steps of a batch that are looked at first; the first of them asks for memory


def batches_to_time(
    global_batch: int,
    replicas: int,
    max_batch: int | None = None,
    *,
    least: int = 1,
    multiple: int = 1,
) -> list[int]:
    """Return the local batches worth timing: the largest and its halves down to a sliver.

    Args:
        global_batch: Samples a step over all replicas.
        replicas: How many there are.
        max_batch: Most samples of this replica's step; ``None`` is no cap.
        least: Fewest samples of a step.
        multiple: What a local batch is a multiple of.

    Returns:
        Samples, rising; the smallest is about an eighth of an equal share.

    >>> batches_to_time(128, replicas=2, max_batch=50)
    [12, 25, 50]
    """
    largest = global_batch
    if max_batch is not None:
        largest = min(global_batch, max_batch)
    smallest = max(1, least, global_batch // (_SLIVER * max(replicas, 2)))

    falling = [max(largest // multiple, 1) * multiple]
    while True:
        half = falling[-1] // 2 // multiple * multiple
        if half < smallest or half == 0:
            return falling[::-1]
        falling.append(half)


def typical(times: Sequence[float] | np.ndarray) -> float:
    """Return the seconds of a step in a block of steps without a pause.

    Where the block has whole bursts and waits, that is its mean; a shorter one cannot tell a wait
    from other work that came between: its median.

    Args:
        times: Seconds of the steps in a row, ``(steps,)``.
    """
    if np.sum(times) >= _PERIOD:
        return float(np.mean(times))
    return float(np.median(times))


class Blocks:
    """A step on rising batches against the clock, in blocks.

    The batches take turns, so that a drift of the machine's speed meets all of them. A turn is a
    block of steps without a pause; the step before it finds the caches as another batch left them
    and does not count.

    Args:
        step: ``step(batch)`` runs a step on so many samples and returns its seconds.
        sizes: The batches, rising, in samples.
        seconds: Budget of all blocks.
    """

    def __init__(self, step: Callable[[int], float], sizes: Sequence[int], seconds: float) -> None:
        """Look at one step of each batch, up to the first that the budget has no room for.

        Two batches are looked at in any case.
        """
        self._step = step
        self._block = min(BLOCK, seconds / (_BLOCKS * len(sizes)))
        self._looks: dict[int, float] = {}
        self._blocks: dict[int, list[float]] = {}
        end = time.perf_counter() + seconds
        for batch in sizes:
            looked = self._look(batch)
            self._looks[batch] = looked
            self._blocks[batch] = []
            twice_as_many = 2 * _LOOKS * looked
            left = end - time.perf_counter()
            if len(self._looks) > 1 and twice_as_many > left:
                break

    def _look(self, batch: int) -> float:
        """Return the seconds of a step, of the second one where it is short."""
        seconds = self._step(batch)
        if seconds < _PERIOD:  # new memory is a part of it that counts
            seconds = self._step(batch)
        return seconds

    def run(self, seconds: float) -> None:
        """Time blocks for so many seconds."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            batch = min(self._blocks, key=lambda size: len(self._blocks[size]))
            if self._looks[batch] < _PERIOD:
                self._step(batch)
            self._blocks[batch].append(self._run_block(batch))

    def _run_block(self, batch: int) -> float:
        """Return the seconds of a step in a block."""
        end = time.perf_counter() + self._block
        times = [self._step(batch)]
        while time.perf_counter() < end or len(times) < _STEPS_A_BLOCK:
            if times[0] >= _PERIOD:
                break
            times.append(self._step(batch))
        return typical(times)

    def taken(self) -> dict[int, list[float]]:
        """Return the seconds of a step of each batch: one a block, or else the first look."""
        return {batch: times or [self._looks[batch]] for batch, times in self._blocks.items()}

    def unsure(self) -> float:
        """Return the largest relative standard error of a batch; 1 where one has too few blocks."""
        if min(map(len, self._blocks.values())) < _LEAST_BLOCKS:
            return 1.0
        return max(map(spread, self._blocks.values()))
