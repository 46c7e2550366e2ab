"""The search behind a partition: bisection over the step time, exact sums where bounds need them.

In T seconds replica r can take at most the share at which its step lasts T. The batch can be dealt
in T if the largest shares of those that take part add up to it, or more. More time never admits
less, so the smallest T is found by halving an interval.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hetlib.errors import PlanError
from hetlib.planning.limits import Bounds
from hetlib.planning.speed import Curves

# Sums times replicas above which exact sums take longer than 20 seconds: 2 replicas and 25 million
# samples, or 64 and 24,000, are just below.
_MOST_SUMS = 10**8

# Relative width at which the interval of step times is narrow enough; float64 tells 2e-16 apart.
_CLOSE = 1e-11


@dataclass(frozen=True)
class Problem:
    """A global batch that is to be dealt so that the longest step is short.

    Attributes:
        curves: Step models of the replicas.
        batch: Samples to be dealt, all of them.
        bounds: Of the local batches.
        fewest: Replicas that take part at least.
        most: Replicas that take part at most.
    """

    curves: Curves
    batch: int
    bounds: Bounds
    fewest: int
    most: int

    @cached_property
    def in_steps(self) -> bool:
        """Whether lowering shares by one unit at a time meets the batch: all have the same unit."""
        units = self.bounds.units
        same = bool((units == units[0]).all())
        return same and self.batch % int(units[0]) == 0

    def reach(self, seconds: float) -> np.ndarray:
        """Return the largest multiples of the units that fit into a time, ``(replicas,)``."""
        tops, _, units = self.bounds
        largest = self.curves.largest(seconds, tops)
        multiples: np.ndarray = largest // units * units
        return multiples


def shortest(problem: Problem, limit: float = np.inf) -> np.ndarray | None:
    """Find the shares with the smallest largest time.

    Args:
        problem: What is dealt to whom.
        limit: Seconds that the largest time may be at most.

    Returns:
        Samples of each replica, ``(replicas,)``, or ``None`` where none are within the bounds.
    """
    longest = problem.curves.time(problem.bounds.tops).max()
    low = 0.0
    high = min(float(longest), limit)
    upper = _largest_within(problem, high)
    if upper is None:
        return None
    # the batch can be dealt in `high` seconds, to `upper` at most, and in `low` it cannot
    while high - low > _CLOSE * high:
        middle = (low + high) / 2
        found = _largest_within(problem, middle)
        if found is None:
            low = middle
        else:
            high = middle
            upper = found
    return _filled_up(problem, upper, low)


def _largest_within(problem: Problem, seconds: float) -> np.ndarray | None:
    """Return the most that each replica takes in a time, or ``None`` where the batch takes longer.

    The batch is between these shares and the floors of those that have one.
    """
    lows = problem.bounds.lows
    upper = problem.reach(seconds)
    upper[upper < lows] = 0
    able = np.flatnonzero(upper)
    if problem.most < len(able):
        order = np.argsort(-upper[able], kind="stable")
        able = able[order]
    used = able[: problem.most]
    if upper[used].sum() < problem.batch or len(able) < problem.fewest:
        return None
    if not problem.in_steps or lows[used].sum() > problem.batch:
        return _exact(problem, upper)
    upper[able[problem.most :]] = 0
    return upper


def _filled_up(problem: Problem, upper: np.ndarray, seconds: float) -> np.ndarray:
    """Return shares that add up to the batch, between the floors and ``upper``.

    They are filled up from the floors in the order of the ranks, first to what fits into the given
    ``seconds``, which are just too few for the batch, then to ``upper``. So what ``upper`` has too
    much comes off those whose step would be the longest.
    """
    shares = np.where(upper > 0, problem.bounds.lows, 0)
    sooner = np.minimum(problem.reach(seconds), upper)
    for reach in (sooner, upper):
        room = np.maximum(reach - shares, 0)
        missing = problem.batch - shares.sum()
        before = np.cumsum(room) - room  # room of the ranks before each
        shares = shares + np.clip(missing - before, 0, room)
    return shares


def _exact(problem: Problem, upper: np.ndarray) -> np.ndarray | None:
    """Return shares with exactly the sum that is asked for, where floors or multiples hinder it.

    A whole number is a set of sums here: bit n is 1 where n samples can be taken. A shift by s adds
    s to each sum of the set, ``|`` unites two sets. With replica A, which takes 2 or 4, and replica
    B, which takes 3, either of them or nothing:

        nobody          {0}                     0b1
        A takes part    {2, 4}                  0b10100     = 0b1 << 2 | 0b1 << 4
        or not          {0, 2, 4}               0b10101
        B takes part    {3, 5, 7}               0b10101000  = 0b10101 << 3
        or not          {0, 2, 3, 4, 5, 7}      0b10111101

    So 6 samples cannot be dealt and 5 can. Who takes what is found backwards: 5 is no sum without
    B, so B takes the smallest share that leaves a sum of the others, here 3, and A the 2 that are
    left.

    How many take part is kept in the same number, as the digit above: bit ``k * width + n`` stands
    for k replicas with n samples together, and ``width`` is beyond all sums, so nothing is carried.
    """
    width = _width(upper)
    used = np.flatnonzero(upper).tolist()
    if width * len(used) > _MOST_SUMS:
        raise PlanError(
            f"`global_batch` is {problem.batch} for {len(used)} replicas, too large to find "
            "exact sums; give all replicas the same multiple, one that divides the batch."
        )
    most = min(problem.most, len(used))
    sets = [1]
    for r in used:
        sums = _with_replica(problem, upper, sets[-1], r)
        sets.append(sets[-1] | sums)

    for k in range(problem.fewest, most + 1):
        at = k * width + problem.batch
        if _holds(sets[-1], at):
            return _traced(problem, upper, sets, at)
    return None


def _width(upper: np.ndarray) -> int:
    """Return the bits of a number of replicas: one for each sum that they can have."""
    return int(upper.sum()) + 1


def _holds(sums: int, at: int) -> bool:
    """Return whether a set of sums holds one."""
    return bool(sums >> at & 1)


def _with_replica(problem: Problem, upper: np.ndarray, sums: int, r: int) -> int:
    """Return the sums that a replica makes of those of the replicas before it by taking part.

    Shifts of half of the units that are missing, rounded up, add up to every number of units: with
    5 of them the shifts are 3, 1 and 1, which make 0 to 5.
    """
    low = int(problem.bounds.lows[r])
    unit = int(problem.bounds.units[r])
    sums = sums << (_width(upper) + low)
    more = int(upper[r] - low) // unit
    while more:
        half = (more + 1) // 2
        sums = sums | sums << (half * unit)
        more = more // 2
    return sums


def _traced(problem: Problem, upper: np.ndarray, sets: list[int], at: int) -> np.ndarray:
    """Return the shares behind the sum ``at`` of the last set, found from the last replica on."""
    width = _width(upper)
    used = np.flatnonzero(upper).tolist()
    shares = np.zeros_like(upper)
    for r, before in zip(used[::-1], sets[-2::-1], strict=True):
        if _holds(before, at):
            continue  # the others have this sum without it
        at -= width
        low = int(problem.bounds.lows[r])
        unit = int(problem.bounds.units[r])
        share = _smallest_share(before, at, low, unit)
        shares[r] = share
        at -= share
    return shares


def _smallest_share(sums: int, at: int, low: int, unit: int) -> int:
    """Return the smallest share, from ``low`` on in steps of ``unit``, that leaves a sum."""
    size = sums.bit_length() // 8 + 1
    content = sums.to_bytes(size, "little")  # where looking at a bit copies nothing
    share = low
    while True:
        place = at - share
        byte = place // 8
        if byte < size and content[byte] >> place % 8 & 1:
            return share
        share += unit
