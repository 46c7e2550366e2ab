r"""Local batches that minimise the step, who stays out, and what that predicts.

Minimise :math:`\max_r t_r(n_r) + c(k)` over whole numbers with :math:`\sum_r n_r = B` and each
:math:`n_r` either 0 or in floor_r..cap_r, where k replicas have :math:`n_r > 0` and c is the time that their
communication adds. The step models :math:`t_r` only have to be monotone: the smallest feasible step time
is found by bisection, and what can be taken off again comes off the slowest replicas first.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .speed import SpeedModel

__all__ = ["Partition", "partition"]


@dataclass(frozen=True)
class Partition:
    """A plan: the local batch of each replica and the modelled times behind it, in seconds."""

    shares: tuple[int, ...]  # local batches n_r; their sum is the global batch
    compute: tuple[float, ...]  # modelled compute time of each replica with its share
    communication: float  # what the communication adds to a step
    equal_step: float | None  # modelled step with equal shares; None where the caps forbid them
    alone_step: float | None  # modelled step of the best single replica; None where no cap admits it
    reasons: tuple[str, ...]  # a sentence for each replica that is left out, "" for the others

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
        raise ValueError(f"got {count} models, {len(tops)} caps and {len(lows)} floors; give one of each a replica.")
    if global_batch < 1 or min(tops) < 1 or min(lows) < 1:
        raise ValueError(f"`global_batch` {global_batch}, caps {tops} and floors {lows} must all be >= 1.")

    def step(shares: Sequence[int]) -> float:
        return max(map(SpeedModel.time, models, shares)) + cost(shares)

    def cost(shares: Sequence[int]) -> float:
        active = int(np.count_nonzero(shares))
        return communication(active) if communication and active > 1 else 0.0

    sizes = range(1, count + 1) if communication else [count]
    found = [shares for k in sizes if (shares := _fastest(models, global_batch, tops, lows, k))]
    if not found:
        raise ValueError(
            f"no choice of replicas takes exactly {global_batch} samples with caps {tops} and floors {lows}; "
            "change the global batch, raise a cap or lower a floor."
        )
    shares = min(found, key=step)
    equal = [global_batch // count + (r < global_batch % count) for r in range(count)]
    alone = [m.time(global_batch) for m, top in zip(models, tops, strict=True) if top == global_batch]
    reasons = [
        ""
        if n
        else f"leaving {name} out: its step on one sample alone takes {model.time(1) * 1e3:.1f} ms, "
        f"the whole step without it {step(shares) * 1e3:.1f} ms"
        for n, name, model in zip(shares, names or [f"replica {r}" for r in range(count)], models, strict=True)
    ]
    return Partition(
        shares=tuple(shares),
        compute=tuple(map(SpeedModel.time, models, shares)),
        communication=cost(shares),
        equal_step=step(equal) if all(n <= top for n, top in zip(equal, tops, strict=True)) else None,
        alone_step=min(alone, default=None),
        reasons=tuple(reasons),
    )


def _fastest(
    models: Sequence[SpeedModel], batch: int, tops: Sequence[int], lows: Sequence[int], active: int
) -> list[int] | None:
    """Return the shares with the smallest largest time among at most ``active`` replicas, if there are any."""

    def limits(seconds: float) -> list[int]:
        largest = [m.largest_batch(seconds, top) for m, top in zip(models, tops, strict=True)]
        return [n if n >= low else 0 for n, low in zip(largest, lows, strict=True)]

    low, high = 0.0, max(map(SpeedModel.time, models, tops))
    if _choose(limits(high), lows, batch, active) is None:
        return None
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if _choose(limits(middle), lows, batch, active) is None:
            low = middle
        else:
            high = middle
    shares = limits(high)
    chosen = _choose(shares, lows, batch, active) or set()
    shares = [n if r in chosen else 0 for r, n in enumerate(shares)]
    slowest = [(-models[r].time(shares[r]), r) for r in chosen if shares[r] > lows[r]]
    heapq.heapify(slowest)
    for _ in range(sum(shares) - batch):
        _, r = heapq.heappop(slowest)
        shares[r] -= 1
        if shares[r] > lows[r]:
            heapq.heappush(slowest, (-models[r].time(shares[r]), r))
    return shares


def _choose(limits: Sequence[int], lows: Sequence[int], batch: int, active: int) -> set[int] | None:
    """Return at most ``active`` replicas whose floors sum to at most ``batch`` and whose limits reach it."""
    usable = sorted((r for r, n in enumerate(limits) if n), key=lambda r: -limits[r])
    if sum(limits[r] for r in usable[:active]) < batch:
        return None
    if sum(lows[r] for r in usable[:active]) <= batch:
        return set(usable[:active])
    # The floors of the largest are too much together. By number of replicas and sum of floors: the largest
    # sum of limits that some set reaches, and that set.
    reach: dict[tuple[int, int], tuple[int, tuple[int, ...]]] = {(0, 0): (0, ())}
    for r in usable:
        for (size, floor), (limit, chosen) in list(reach.items()):
            key, sum_ = (size + 1, floor + lows[r]), limit + limits[r]
            if key[0] <= active and key[1] <= batch and reach.get(key, (-1,))[0] < sum_:
                reach[key] = (sum_, (*chosen, r))
    return next((set(chosen) for limit, chosen in reach.values() if limit >= batch), None)
