"""Seconds per step as a function of the local batch, measured on each replica."""

import bisect
import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["SpeedModel", "time_step"]


@dataclass(frozen=True)
class SpeedModel:
    """Compute time of one replica: the measured points, straight lines between them, never falling.

    Below the first and above the last point the nearest line goes on. A falling measurement (noise) is
    replaced by the mean of its neighbours in question (isotonic regression).

    """

    batches: tuple[int, ...]  # local batches that were timed, rising, in samples
    seconds: tuple[float, ...]  # their step times

    def __post_init__(self) -> None:
        if not self.batches or len(self.batches) != len(self.seconds):
            raise ValueError(f"a model needs one time a batch, got batches {self.batches}, seconds {self.seconds}.")
        if sorted(set(self.batches)) != list(self.batches) or self.batches[0] < 1:
            raise ValueError(f"`batches` is {self.batches}; batches must rise and be >= 1.")
        if min(self.seconds) <= 0:
            raise ValueError(f"`seconds` is {self.seconds}; times must be > 0.")
        object.__setattr__(self, "seconds", tuple(_isotonic(self.seconds)))

    @classmethod
    def constant(cls, samples_per_second: float, overhead: float = 0.0) -> "SpeedModel":
        """Return ``t(n) = overhead + n / samples_per_second``."""
        return cls((1, 2), (overhead + 1 / samples_per_second, overhead + 2 / samples_per_second))

    def time(self, batch: float) -> float:
        """Return the seconds of a step on ``batch`` samples; none take no time."""
        if batch <= 0:
            return 0.0
        if len(self.batches) == 1:
            return self.seconds[0] * batch / self.batches[0]
        i = min(max(bisect.bisect_left(self.batches, batch), 1), len(self.batches) - 1)
        (n0, n1), (t0, t1) = self.batches[i - 1 : i + 1], self.seconds[i - 1 : i + 1]
        return max(t0 + (t1 - t0) * (batch - n0) / (n1 - n0), 1e-9)

    def largest_batch(self, seconds: float, limit: int) -> int:
        """Return the largest batch in 0..limit whose step takes at most ``seconds``."""
        return bisect.bisect_right(range(1, limit + 1), seconds, key=self.time)

    def slowed(self, factor: float) -> "SpeedModel":
        """Return the model of a device that needs ``factor`` times as long."""
        return SpeedModel(self.batches, tuple(factor * t for t in self.seconds))


def _isotonic(values: Sequence[float]) -> list[float]:
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, size = value, 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean, size = (mean * size + before * count) / (size + count), size + count
        blocks.append((mean, size))
    return list(itertools.chain.from_iterable([mean] * size for mean, size in blocks))


def batches_to_time(global_batch: int, replicas: int, max_batch: int | None = None) -> list[int]:
    """Return the local batches worth timing: the largest possible one and its halves down to a sliver, rising."""
    smallest = max(1, global_batch // (8 * max(replicas, 2)))
    sizes = [min(global_batch, max_batch or global_batch)]
    while sizes[0] // 2 >= smallest:
        sizes.insert(0, sizes[0] // 2)
    return sizes


def time_step(step: Callable[[int], object], batches: Sequence[int], seconds: float) -> Mapping[int, float]:
    """Time ``step(batch)`` for each batch within a budget.

    The batches take turns, so that a drift of the machine's speed meets all of them.

    ``step`` has to finish what it starts (a CUDA step synchronises); three rounds are run whatever they take.

    Returns:
        Median seconds by batch.
    """
    for batch in batches:
        step(batch)
    taken: dict[int, list[float]] = {batch: [] for batch in batches}
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < 3 or (time.perf_counter() < end and rounds < 50):
        for batch in batches:
            begin = time.perf_counter()
            step(batch)
            taken[batch].append(time.perf_counter() - begin)
        rounds += 1
    return {batch: statistics.median(times) for batch, times in taken.items()}
