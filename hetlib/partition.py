r"""Local batches that minimise the step, who stays out, and what that predicts.

Minimise :math:`\max_r t_r(n_r) + c(k)` over whole numbers with :math:`\sum_r n_r = B` and each
:math:`n_r` either 0 or in floor_r..cap_r, where k replicas have :math:`n_r > 0` and c is the time that their
communication adds. The step models :math:`t_r` only have to be monotone: the smallest feasible step time
is found by bisection, and what can be taken off again comes off the slowest replicas first.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .speed import SpeedModel

__all__ = ["Partition", "partition"]


@dataclass(frozen=True)
class Partition:
    """A plan: the local batch of each replica and the modelled times behind it (seconds).

    Args:
        shares: Local batches n_r; their sum is the global batch.
        compute: Modelled compute time of each replica with its share.
        communication: Modelled time that the communication adds to a step.
        equal_step: Modelled step time with equal shares, ``None`` where the caps forbid them.
        alone_step: Modelled step time of the best single replica, ``None`` where no cap admits it.
        reasons: A sentence for each replica that is left out, ``""`` for the others.
    """

    shares: tuple[int, ...]
    compute: tuple[float, ...]
    communication: float
    equal_step: float | None
    alone_step: float | None
    reasons: tuple[str, ...]

    @property
    def global_batch(self) -> int:
        """Samples a step over all replicas."""
        return sum(self.shares)

    @property
    def step(self) -> float:
        """Modelled step time in seconds."""
        return max(self.compute) + self.communication

    @property
    def idle(self) -> tuple[float, ...]:
        """Fraction of the compute phase that each replica waits for the slowest."""
        return tuple(1 - seconds / max(self.compute) for seconds in self.compute)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a record."""
        return asdict(self) | {"step": self.step}


def partition(
    models: Sequence[SpeedModel],
    global_batch: int,
    *,
    caps: Sequence[int | None] | None = None,
    floors: Sequence[int] | None = None,
    communication: Callable[[int], float] | None = None,
    names: Sequence[str] | None = None,
) -> Partition:
    """Choose the local batches with the shortest modelled step.

    Args:
        models: Step model of each replica.
        global_batch: Samples a step, B.
        caps: Most samples of each replica (memory); ``None`` is no cap.
        floors: Fewest samples of each replica that takes part, at least 1.
        communication: Seconds that k active replicas add to a step, not falling in k; none by default.
        names: Names for the reasons.

    Raises:
        ValueError: When no choice of replicas can take exactly B samples.
    """
    count = len(models)
    tops = [min(cap or global_batch, global_batch) for cap in (caps or [None] * count)]
    lows = list(floors or [1] * count)
    if not count or len(tops) != count or len(lows) != count:
        raise ValueError(
            f"got {count} models, {len(tops)} caps and {len(lows)} floors; give one of each for every replica."
        )
    if global_batch < 1 or min(tops) < 1 or min(lows) < 1:
        raise ValueError(f"`global_batch` {global_batch}, caps {tops} and floors {lows} must all be >= 1.")
    best: tuple[float, list[int]] | None = None
    for active in range(1, count + 1) if communication else [count]:
        shares = _fastest(models, global_batch, tops, lows, active)
        if shares is None:
            continue
        step = max(m.time(n) for m, n in zip(models, shares, strict=True))
        step += communication(int(np.count_nonzero(shares))) if communication else 0.0
        if best is None or step < best[0]:
            best = (step, shares)
    if best is None:
        raise ValueError(
            f"no choice of replicas takes exactly {global_batch} samples with caps {tops} and floors {lows}; "
            "change the global batch, raise a cap or lower a floor."
        )
    return _describe(models, best[1], tops, communication, names or [f"replica {r}" for r in range(count)])


def _fastest(
    models: Sequence[SpeedModel], batch: int, tops: Sequence[int], lows: Sequence[int], active: int
) -> list[int] | None:
    """Return the shares with the smallest largest time among at most ``active`` replicas, if there are any."""

    def most(seconds: float) -> list[int]:
        largest = [m.largest_batch(seconds, top) for m, top in zip(models, tops, strict=True)]
        return [n if n >= low else 0 for n, low in zip(largest, lows, strict=True)]

    def choose(seconds: float) -> list[int] | None:
        return _fill(most(seconds), lows, batch, active)

    high = max(m.time(top) for m, top in zip(models, tops, strict=True))
    chosen = choose(high)
    if chosen is None:
        return None
    low = 0.0
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        found = choose(middle)
        if found is None:
            low = middle
        else:
            # The step that was really reached is a tighter bound than the middle.
            chosen = found
            reached = max(m.time(n) for m, n in zip(models, found, strict=True))
            high = min(middle, reached) if reached > low else middle
    return _level(models, most(high), chosen, lows)


def _fill(most: Sequence[int], lows: Sequence[int], batch: int, active: int) -> list[int] | None:
    """Return upper limits of a set of at most ``active`` replicas that can take exactly ``batch``, else ``None``."""
    order = sorted((r for r, n in enumerate(most) if n), key=lambda r: -most[r])[:active]
    if sum(most[r] for r in order) < batch:
        return None
    if sum(lows[r] for r in order) <= batch:
        chosen = set(order)
    else:
        found = _subset(most, lows, batch, active)
        if found is None:
            return None
        chosen = found
    shares = [lows[r] if r in chosen else 0 for r in range(len(most))]
    rest = batch - sum(shares)
    for r in sorted(chosen, key=lambda r: -most[r]):
        extra = min(rest, most[r] - lows[r])
        shares[r] += extra
        rest -= extra
    return shares


def _subset(most: Sequence[int], lows: Sequence[int], batch: int, active: int) -> set[int] | None:
    """Find replicas whose floors sum to at most ``batch`` and whose limits reach it, by dynamic programming.

    ``reach[k][f]`` is the largest sum of limits of k replicas whose floors sum to f.
    """
    usable = [r for r, n in enumerate(most) if n]
    reach: dict[tuple[int, int], tuple[int, tuple[int, ...]]] = {(0, 0): (0, ())}
    for r in usable:
        for (k, f), (limit, chosen) in list(reach.items()):
            key = (k + 1, f + lows[r])
            if key[0] <= active and key[1] <= batch and reach.get(key, (-1,))[0] < limit + most[r]:
                reach[key] = (limit + most[r], (*chosen, r))
    return next((set(chosen) for limit, chosen in reach.values() if limit >= batch), None)


def _level(models: Sequence[SpeedModel], most: Sequence[int], shares: list[int], lows: Sequence[int]) -> list[int]:
    """Start from the limits of the chosen replicas and take the surplus off the slowest, sample by sample."""
    level = [limit if n else 0 for limit, n in zip(most, shares, strict=True)]
    surplus = sum(level) - sum(shares)
    heap = [(-models[r].time(n), r) for r, n in enumerate(level) if n > lows[r]]
    heapq.heapify(heap)
    for _ in range(surplus):
        _, r = heapq.heappop(heap)
        level[r] -= 1
        if level[r] > lows[r]:
            heapq.heappush(heap, (-models[r].time(level[r]), r))
    return level


def _describe(
    models: Sequence[SpeedModel],
    shares: Sequence[int],
    tops: Sequence[int],
    communication: Callable[[int], float] | None,
    names: Sequence[str],
) -> Partition:
    def cost(active: int) -> float:
        return communication(active) if communication and active > 1 else 0.0

    batch, count = sum(shares), len(models)
    compute = tuple(m.time(n) for m, n in zip(models, shares, strict=True))
    step = max(compute) + cost(int(np.count_nonzero(shares)))
    equal = [batch // count + (r < batch % count) for r in range(count)]
    fits = all(n <= top for n, top in zip(equal, tops, strict=True))
    alone = [m.time(batch) for m, top in zip(models, tops, strict=True) if top >= batch]
    reasons = []
    for r, n in enumerate(shares):
        one = models[r].time(1)
        reasons.append(
            ""
            if n
            else f"leaving {names[r]} out: its step on one sample alone takes {one * 1e3:.1f} ms, "
            f"the whole step without it {step * 1e3:.1f} ms"
        )
    return Partition(
        shares=tuple(int(n) for n in shares),
        compute=compute,
        communication=cost(int(np.count_nonzero(shares))),
        equal_step=max(m.time(n) for m, n in zip(models, equal, strict=True)) + cost(count) if fits else None,
        alone_step=min(alone) if alone else None,
        reasons=tuple(reasons),
    )
