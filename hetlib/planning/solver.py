"""The search behind a partition: bisection over the step time, exact sums where bounds are in the way."""

from typing import Any

import numpy as np

from hetlib.planning.speed import Curves


def fastest(
    curves: Curves, batch: int, bounds: Any, active: Any, limit: float = np.inf
) -> np.ndarray | None:
    """Return the shares with the smallest largest time, at most ``limit``; ``None`` where there are none."""
    (tops, lows, units), (fewest, most) = bounds, active
    alike = bool((units == units[0]).all()) and batch % units[0] == 0

    def choose(seconds: float) -> np.ndarray | None:
        """Return what this time admits and can be lowered to the batch within the bounds, or ``None``."""
        upper = curves.largest(seconds, tops) // units * units
        upper[upper < lows] = 0
        used = np.flatnonzero(upper)
        if most < len(used):
            used = used[np.argsort(-upper[used], kind="stable")]
        if upper[used[:most]].sum() < batch or len(used) < fewest:
            return None
        if not alike or lows[used[:most]].sum() > batch:
            return _exact(batch, upper, lows, units, range(fewest, min(most, len(used)) + 1))
        upper[used[most:]] = 0
        return upper

    low, high = 0.0, min(float(curves.time(tops).max()), limit)
    if (upper := choose(high)) is None:
        return None
    while high - low > 1e-11 * high:
        found = choose(middle := (low + high) / 2)
        low, high, upper = (middle, high, upper) if found is None else (low, middle, found)
    shares = np.where(upper > 0, lows, 0)
    # the slowest are lowered
    for reach in (np.minimum(curves.largest(low, tops) // units * units, upper), upper):
        room = np.maximum(reach - shares, 0)
        shares = shares + np.clip(batch - shares.sum() - (np.cumsum(room) - room), 0, room)
    return shares


def _exact(
    batch: int, upper: np.ndarray, lows: np.ndarray, units: np.ndarray, counts: range
) -> np.ndarray | None:
    """Return shares with exactly the sum ``batch``, where floors are in the way or multiples differ."""
    width, used = int(upper.sum()) + 1, np.flatnonzero(upper)
    reach = [1]  # bit k * width + n: k of the replicas so far can take n samples together
    for r in used:
        sums, more = reach[-1] << width + int(lows[r]), int((upper[r] - lows[r]) // units[r])
        # shifts of half of what is missing, rounded up, add up to every number of units
        while more:
            sums, more = sums | sums << (more + 1) // 2 * int(units[r]), more // 2
        reach.append(reach[-1] | sums)
    at = next((at for k in counts if reach[-1] >> (at := k * width + batch) & 1), 0)
    shares = np.zeros_like(upper)
    for r, before in zip(used[::-1], reach[-2::-1], strict=True) if at else ():
        if not before >> at & 1:
            fitting = range(width + int(lows[r]), width + int(upper[r]) + 1, int(units[r]))
            taken = next(n for n in fitting if n <= at and before >> at - n & 1)
            at, shares[r] = at - taken, taken - width
    return shares if shares.any() else None
