"""Seconds per step as a function of the local batch, measured on each replica."""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class SpeedModel:
    """Compute time of one replica: the measured points, straight lines between them, never falling.

    Below the first and above the last point the nearest line goes on. A falling measurement (noise)
    is replaced by the mean of the largest time before it and the smallest one after it.
    """

    batches: tuple[int, ...]  # local batches that were timed, rising, in samples
    seconds: tuple[float, ...]  # their step times
    spread: float = 0.0  # relative standard error of the times, 0 where they were not measured

    def __post_init__(self) -> None:
        rising = self.batches and [0, *self.batches] == sorted({0, *self.batches})
        if not rising or len(self.batches) != len(self.seconds) or min(self.seconds) <= 0:
            got = f"`batches` is {self.batches} and `seconds` {self.seconds}"
            raise ValueError(
                f"{got}; allowed: batches that rise and are >= 1, and one time > 0 for each."
            )
        if sorted(self.seconds) != list(self.seconds):
            above, below = (
                np.maximum.accumulate(self.seconds),
                np.minimum.accumulate(self.seconds[::-1])[::-1],
            )
            object.__setattr__(self, "seconds", tuple(((above + below) / 2).tolist()))

    @classmethod
    def constant(cls, samples_per_second: float, overhead: float = 0.0) -> "SpeedModel":
        """Return ``t(n) = overhead + n / samples_per_second``."""
        return cls((1, 2), (overhead + 1 / samples_per_second, overhead + 2 / samples_per_second))

    @classmethod
    def measured(cls, taken: Mapping[int, Sequence[float]]) -> "SpeedModel":
        """Return the model through the median of the seconds taken by each batch."""
        medians = {batch: float(np.median(taken[batch])) for batch in sorted(taken)}
        return cls(tuple(medians), tuple(medians.values()), max(map(spread, taken.values())))

    def time(self, batch: float) -> float:
        """Return the seconds of a step on ``batch`` samples; none take no time."""
        if batch <= 0:
            return 0.0
        if len(self.batches) == 1:
            return self.seconds[0] * batch / self.batches[0]
        i = min(max(bisect.bisect_left(self.batches, batch), 1), len(self.batches) - 1)
        (n0, n1), (t0, t1) = self.batches[i - 1 : i + 1], self.seconds[i - 1 : i + 1]
        return max(t0 + (t1 - t0) * (batch - n0) / (n1 - n0), 1e-9)

    def slowed(self, factor: float) -> "SpeedModel":
        """Return the model of a device that needs ``factor`` times as long."""
        return replace(self, seconds=tuple(factor * t for t in self.seconds))

    def repeated(self, most: int, until: int) -> "SpeedModel":
        """Return the model of steps on up to ``until`` samples in as few equal passes of at most ``most`` as do."""
        points = {1: self.time(1)}
        for k in range(1, -(-until // most) + 1):  # k passes
            inner = {k * n for n in self.batches if (k - 1) * most < k * n < k * most}
            points |= {
                n: k * self.time(n / k) for n in sorted({(k - 1) * most + 1, *inner, k * most})
            }
        return replace(self, batches=tuple(points), seconds=tuple(points.values()))


class Curves:
    """The models of all replicas as arrays ``(replicas, points)``: 100,000 of them are looked up at once."""

    def __init__(self, models: Sequence[SpeedModel]) -> None:
        most = max(2, *(len(model.batches) for model in models))
        ends = [range(m.batches[-1] + 1, m.batches[-1] + 1 + most - len(m.batches)) for m in models]
        batches = np.array(
            [(*m.batches, *end) for m, end in zip(models, ends, strict=True)], dtype=np.float64
        )
        seconds = np.array(
            [(*m.seconds, *map(m.time, end)) for m, end in zip(models, ends, strict=True)]
        )
        self.inner = batches[:, 1:-1], seconds[:, 1:-1]
        self.pieces = np.stack(
            [batches[:, :-1], seconds[:, :-1], np.diff(batches), np.diff(seconds)]
        ).reshape(4, -1)
        self.row = (most - 1) * np.arange(len(models))

    def time(self, shares: np.ndarray) -> np.ndarray:
        """Return `SpeedModel.time` of each replica's share."""
        n, t, dn, dt = self.pieces.take(self.row + (self.inner[0] < shares[:, None]).sum(1), axis=1)
        return np.where(shares > 0, np.maximum(t + dt * (shares - n) / dn, 1e-9), 0.0)

    def largest(self, seconds: float, tops: np.ndarray) -> np.ndarray:
        """Return the largest share in 0..top of each replica whose step takes at most ``seconds``."""
        n, t, dn, dt = self.pieces.take(self.row + (self.inner[1] <= seconds).sum(1), axis=1)
        # a flat end: any share (0 / 0 too), or none
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = np.floor(n + dn * (seconds - t) / dt + 1e-9)  # what rounding hides
        return np.where(np.isnan(shares), tops, np.clip(shares, 0, tops)).astype(np.int64)


def spread(times: Sequence[float] | np.ndarray) -> float:
    """Return the relative standard error of the median of ``times``, from their median absolute deviation."""
    middle = np.median(times)
    return float(
        1.86 * np.median(np.abs(np.asarray(times) - middle)) / np.sqrt(len(times)) / middle
    )
