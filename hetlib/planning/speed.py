"""Seconds per step as a function of the local batch, measured on each replica."""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from hetlib.containers import items
from hetlib.errors import shown, wrong
from hetlib.inputs import MOST_SAMPLES, keep, number, whole

# No step is shorter, in seconds: a line through noisy points may go below 0 where it is extended.
_SHORTEST = 1e-9
# Samples that rounding may hide when the largest share is cut to a whole number.
_HIDDEN = 1e-9
# Standard error of a median over its median absolute deviation, times the root of the number:
# 1.4826 turns that deviation into a normal one's standard deviation, 1.2533 that of a mean into a
# median's.
_MEDIAN_ERROR = 1.86


@dataclass(frozen=True)
class SpeedModel:
    """Compute time of one replica: the measured points, straight lines between them, never falling.

    Below the first and above the last point the nearest line goes on. A falling measurement (noise)
    is replaced by the mean of the largest time before it and the smallest one after it.

    Attributes:
        batches: Local batches that were timed, rising, in samples.
        seconds: Their step times, never falling: what was given, without its noise.
        spread: Relative standard error of the times, 0 where they were not measured.

    Raises:
        ValueError: The batches do not rise, or there is not one time above 0 for each.

    Example:
        >>> SpeedModel((4, 8, 16), (1.0, 0.8, 2.0)).seconds
        (0.9, 0.9, 2.0)
    """

    batches: tuple[int, ...]
    seconds: tuple[float, ...]
    spread: float = 0.0

    def __post_init__(self) -> None:
        """Check the points, and make falling times rise."""
        batches = items("batches", self.batches, _batch)
        seconds = items("seconds", self.seconds, _time)
        _check_points(batches, seconds)
        if sorted(seconds) != list(seconds):
            seconds = _without_falls(seconds)
        keep(self, batches=batches, seconds=seconds, spread=number("spread", self.spread, low=0))

    @classmethod
    def constant(cls, samples_per_second: float, overhead: float = 0.0) -> "SpeedModel":
        """Return ``t(n) = overhead + n / samples_per_second``.

        Args:
            samples_per_second: Speed of the replica.
            overhead: Seconds of a step on any number of samples.

        Raises:
            ValueError: The speed is no number > 0, or the overhead none >= 0.
        """
        samples_per_second = number("samples_per_second", samples_per_second, above=0)
        overhead = number("overhead", overhead, low=0)
        one = overhead + 1 / samples_per_second
        two = overhead + 2 / samples_per_second
        return cls(batches=(1, 2), seconds=(one, two))

    @classmethod
    def measured(cls, taken: Mapping[int, Sequence[float]]) -> "SpeedModel":
        """Return the model through the median of the seconds taken by each batch.

        Args:
            taken: Seconds of the steps timed, by local batch.

        Raises:
            ValueError: There is no batch, or one without a time > 0.
        """
        if not isinstance(taken, Mapping) or not taken:
            raise wrong("taken", taken, "a mapping of local batches to the seconds of their steps")
        for batch, times in taken.items():
            items(f"taken[{shown(batch)}]", times, _time, low=1)
        batches = sorted(_batch("taken", batch) for batch in taken)
        medians = [np.median(taken[batch]) for batch in batches]
        seconds = [float(median) for median in medians]
        widest = max(spread(times) for times in taken.values())
        return cls(tuple(batches), tuple(seconds), widest)

    def time(self, batch: float) -> float:
        """Return the seconds of a step; no samples take no time.

        Args:
            batch: Samples of the step, or of a pass on average.

        Raises:
            ValueError: It is no number.
        """
        if type(batch) is not int:  # most are
            batch = number("batch", batch)
        if batch <= 0:
            return 0.0
        if len(self.batches) == 1:
            return self.seconds[0] * batch / self.batches[0]
        i = bisect.bisect_left(self.batches, batch)
        i = min(max(i, 1), len(self.batches) - 1)
        n0 = self.batches[i - 1]
        t0 = self.seconds[i - 1]
        width = self.batches[i] - n0
        rise = self.seconds[i] - t0
        seconds = t0 + rise * (batch - n0) / width
        return max(seconds, _SHORTEST)

    def slowed(self, factor: float) -> "SpeedModel":
        """Return the model of a slower device.

        Args:
            factor: How many times as long it needs.

        Raises:
            ValueError: It is no number > 0.
        """
        factor = number("factor", factor, above=0)
        slower = [factor * t for t in self.seconds]
        return replace(self, seconds=tuple(slower))

    def repeated(self, fitting: int, until: int) -> "SpeedModel":
        """Return the model of steps in passes: no pass is larger than what fits, and all are equal.

        A step on n samples takes ``k * time(n / k)`` in k passes, as few as do. The model has the
        bends of every number of passes, and both ends of each, where it jumps.

        Args:
            fitting: Samples of a pass that fit.
            until: Samples of a step up to which the model is asked for.

        Raises:
            ValueError: One of them is no whole number >= 1.
        """
        fitting = whole("fitting", fitting, low=1)
        until = whole("until", until, low=1, high=MOST_SAMPLES)
        points = {1: self.time(1)}
        passes_at_most = -(-until // fitting)
        for passes in range(1, passes_at_most + 1):
            fewer = (passes - 1) * fitting  # go through in a pass less
            last = passes * fitting
            bends = [passes * n for n in self.batches]
            inner = [n for n in bends if fewer < n < last]
            ends = {fewer + 1, last}
            for samples in sorted(ends.union(inner)):
                points[samples] = passes * self.time(samples / passes)
        batches = tuple(points)
        seconds = tuple(points.values())
        return replace(self, batches=batches, seconds=seconds)


def _check_points(batches: Sequence[int], seconds: Sequence[float]) -> None:
    """Refuse points that are no curve."""
    rising = batches and list(batches) == sorted(set(batches))
    if rising and len(batches) == len(seconds):
        return
    got = f"`batches` is {shown(batches)} and `seconds` {shown(seconds)}"
    allowed = "batches that rise and are >= 1, and one time > 0 for each"
    raise ValueError(f"{got}; allowed: {allowed}.")


def _batch(name: str, value: object) -> int:
    return whole(name, value, low=1)


def _time(name: str, value: object) -> float:
    return number(name, value, above=0)


def _without_falls(seconds: Sequence[float]) -> tuple[float, ...]:
    """Return the mean of the largest time up to each point and the smallest one from it on."""
    above = np.maximum.accumulate(seconds)
    backwards = np.minimum.accumulate(seconds[::-1])
    below = backwards[::-1]
    means = (above + below) / 2
    return tuple(means.tolist())


class _Pieces(NamedTuple):
    """Straight pieces of step models, ``(pieces,)`` each.

    Attributes:
        batch: Where a piece begins, in samples.
        seconds: The step time there.
        width: Samples from there to its end.
        rise: Seconds from there to its end.
    """

    batch: np.ndarray
    seconds: np.ndarray
    width: np.ndarray
    rise: np.ndarray


class _Points(NamedTuple):
    """The points of one model: samples and seconds."""

    batches: tuple[int, ...]
    seconds: tuple[float, ...]


def _padded(model: SpeedModel, points: int) -> SpeedModel | _Points:
    """Return the points of a model, and more of its last line up to a number of them."""
    missing = points - len(model.batches)
    if missing == 0:
        return model  # 100,000 copies would take 0.3 s
    first = model.batches[-1] + 1
    more = range(first, first + missing)
    seconds = map(model.time, more)
    return _Points((*model.batches, *more), (*model.seconds, *seconds))


class Curves:
    """The models of all replicas as arrays: 100,000 of them are looked up at once.

    Each model is cut into as many straight pieces as the one with most points has. The piece that a
    share or a time lies on is the number of bends before it, so a look-up is a comparison with all
    bends and one indexed read.

    Args:
        models: Step model of each replica, one at least.
    """

    def __init__(self, models: Sequence[SpeedModel]) -> None:
        """Lay the pieces of all models one after the other."""
        points = max(len(model.batches) for model in models)
        points = max(points, 2)
        padded = [_padded(model, points) for model in models]
        batches = np.array([model.batches for model in padded], dtype=np.float64)
        seconds = np.array([model.seconds for model in padded])

        self._bend_batches = batches[:, 1:-1]
        self._bend_seconds = seconds[:, 1:-1]
        pieces = _Pieces(
            batch=batches[:, :-1],
            seconds=seconds[:, :-1],
            width=np.diff(batches),
            rise=np.diff(seconds),
        )
        # One array: a single read fetches all four numbers of a piece.
        stacked = np.stack(pieces)  # (4, replicas, pieces)
        self._pieces = stacked.reshape(4, -1)
        self._first = (points - 1) * np.arange(len(models))  # piece of each replica
        # More memory than a look-up takes, freed at once: the allocator then keeps that of the
        # look-ups, and 100,000 replicas are dealt to in 0.18 s in place of 0.36 s.
        np.empty((8, len(models)))

    def _after(self, bends: np.ndarray) -> _Pieces:
        """Return the piece of each replica that begins after so many of its bends."""
        places = self._first + bends
        found = self._pieces.take(places, axis=1)  # (4, replicas)
        return _Pieces(*found)

    def time(self, shares: np.ndarray) -> np.ndarray:
        """Return `SpeedModel.time` of each replica's share.

        Args:
            shares: Samples of each replica, ``(replicas,)``.

        Returns:
            Seconds, ``(replicas,)``.
        """
        passed = self._bend_batches < shares[:, None]
        bends = passed.sum(1)
        piece = self._after(bends)
        beyond = shares - piece.batch
        seconds = piece.seconds + piece.rise * beyond / piece.width
        seconds = np.maximum(seconds, _SHORTEST)
        return np.where(shares > 0, seconds, 0.0)

    def largest(self, seconds: float, tops: np.ndarray) -> np.ndarray:
        """Return the largest share of each replica whose step takes at most ``seconds``.

        Args:
            seconds: Time that a step may take.
            tops: Most samples of each replica, ``(replicas,)``.

        Returns:
            Whole numbers in 0..top, ``(replicas,)``.
        """
        passed = self._bend_seconds <= seconds
        bends = passed.sum(1)
        piece = self._after(bends)
        # a flat end: any share (0 / 0 too), or none
        with np.errstate(divide="ignore", invalid="ignore"):
            left = seconds - piece.seconds
            reached = piece.batch + piece.width * left / piece.rise
        whole = np.floor(reached + _HIDDEN)
        inside = np.clip(whole, 0, tops)
        largest = np.where(np.isnan(whole), tops, inside)
        return largest.astype(np.int64)


def spread(times: Sequence[float] | np.ndarray) -> float:
    """Return the relative standard error of the median of times.

    It is taken from the median absolute deviation, which a few long steps do not move.

    Args:
        times: Seconds of steps on one batch, ``(steps,)``.
    """
    middle = np.median(times)
    distances = np.abs(np.asarray(times) - middle)
    deviation = np.median(distances)
    error = _MEDIAN_ERROR * deviation / np.sqrt(len(times))
    return float(error / middle)
