r"""Local batches that minimise the step, who stays out, and what that predicts.

Minimise :math:`\max_r t_r(n_r) + c(k)` over whole numbers with :math:`\sum_r n_r = B` and each
:math:`n_r` either 0 or a multiple of m_r in floor_r..cap_r, where k replicas have :math:`n_r > 0`
and c is the time that their communication adds. The step models :math:`t_r` only have to be
monotone: the smallest feasible step time is found by bisection, and what can be taken off again
comes off the slowest replicas first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetlib.planning.solver import fastest
from hetlib.planning.speed import Curves, SpeedModel


@dataclass(frozen=True)
class Partition:
    """A plan: the local batch of each replica and the times behind it, in seconds."""

    shares: tuple[int, ...]  # local batches n_r; their sum is the global batch
    compute: tuple[float, ...]  # compute time of each replica with its share
    communication: float  # what the communication adds to a step
    equal_step: float | None  # modelled step with equal shares; None where the caps forbid them
    # step of the best single replica, measured if it was tried; None where no cap admits it
    alone_step: float | None
    reasons: tuple[str, ...]  # a sentence for each replica that is left out, "" for the others
    names: tuple[str, ...] = ()  # of the replicas
    times: str = "modelled"  # or "measured": compute and communication
    # relative standard error of `step`, from the spread of the measurement
    uncertainty: float = 0.0
    passes: tuple[int, ...] = ()  # in which each replica takes its share; () is one each

    @property
    def global_batch(self) -> int:
        """Samples a step over all replicas."""
        return sum(self.shares)

    @property
    def step(self) -> float:
        """Step time in seconds."""
        return max(self.compute) + self.communication

    @property
    def idle(self) -> tuple[float, ...]:
        """Fraction of the compute phase that each replica waits for the slowest."""
        return tuple(1 - seconds / max(self.compute) for seconds in self.compute)

    def explain(self) -> Any:
        """Return a data frame, one row a replica: its share, compute time, waiting, and why it is left out if it is."""
        import pandas as pd

        compute, idle = np.multiply(self.compute, 1e3), np.multiply(self.idle, 100)
        table = {
            "replica": self.names,
            "share": self.shares,
            f"compute (ms), {self.times}": compute,
            "idle (%)": idle,
        }
        return pd.DataFrame(table | {"reason": self.reasons})

    def __str__(self) -> str:
        step = f"step {1e3 * self.step:.1f} ms +- {100 * self.uncertainty:.0f} %, {self.times}"
        for other, seconds in {
            "equal shares (modelled)": self.equal_step,
            "the best alone": self.alone_step,
        }.items():
            step += (
                f"; {seconds / self.step:.2f} times as fast as {other}"
                if seconds
                else f"; {other}: beyond a cap"
            )
        return step


def partition(
    models: Sequence[SpeedModel],
    global_batch: int,
    *,
    caps: Sequence[int | None] | None = None,
    floors: Sequence[int] | None = None,
    multiples: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    communication: Callable[[int], float] | None = None,
    active: tuple[int, int] | None = None,
) -> Partition:
    """Choose the local batches with the shortest modelled step; ``ValueError`` when no replicas can take exactly B.

    Args:
        models: Step model of each replica.
        global_batch: Samples a step, B.
        caps: Most samples of each replica (memory); ``None`` is no cap.
        floors: Fewest samples of each replica that takes part, at least 1.
        multiples: What each local batch is a multiple of, e.g. 8 for tensor cores; 1 by default.
        communication: Seconds that k active replicas add to a step, not falling in k; none by
            default.
        names: Names for the reasons.
        active: Fewest and most replicas that take part; from one to all by default.
    """
    count, ranks = len(models), np.arange(len(models))
    tops = np.array(
        [global_batch if cap is None else min(cap, global_batch) for cap in caps or [None] * count]
    )
    lows, units = np.array(floors or [1] * count), np.array(multiples or [1] * count)
    given = f"caps {tops}, floors {lows}, multiples {units}, `active` {active}"
    if not count or {len(tops), len(lows), len(units)} != {count} or min(*tops, *lows, *units) < 1:
        raise ValueError(
            f"got {count} models, batch {global_batch}, {given}; give one of each a replica, all >= 1."
        )
    curves, bounds = Curves(models), (tops // units * units, -(-lows // units) * units, units)
    # by active replicas
    added = [communication(k) if communication and k > 1 else 0.0 for k in range(count + 1)]
    fewest, most = active or (1, count)
    step, shares = np.inf, None
    for k in range(most, fewest - 1, -1) if communication else [most]:
        found = fastest(curves, global_batch, bounds, (fewest, k), step - added[k])
        if (
            found is not None
            and (seconds := curves.time(found).max() + added[np.count_nonzero(found)]) < step
        ):
            step, shares = float(seconds), found
    if shares is None:
        mend = "change the global batch, raise a cap, or lower a floor or multiple"
        raise ValueError(
            f"no choice of replicas takes exactly {global_batch} samples with {given}; {mend}."
        )
    used, compute = int(np.count_nonzero(shares)), curves.time(shares)
    names = tuple(names or [f"replica {r}" for r in ranks])
    equal, whole = (
        global_batch // count + (ranks < global_batch % count),
        curves.time(np.full(count, global_batch)),
    )
    equal_step = (
        float(curves.time(equal).max()) + added[min(count, global_batch)]
        if (equal <= tops).all()
        else None
    )
    alone_step = min(
        whole[(bounds[0] == global_batch) & (bounds[1] <= global_batch)].tolist(), default=None
    )
    uncertainty = max(model.spread for model, n in zip(models, shares, strict=True) if n)
    reasons, least = [""] * count, np.maximum(curves.time(bounds[1]), compute.max())
    for r in np.flatnonzero(shares == 0):
        joined = np.where((shares > 0) | (ranks == r), bounds[0], 0) if communication else bounds[0]
        found = (
            fastest(curves, global_batch, (joined, *bounds[1:]), (used + 1, used + 1))
            if communication
            else None
        )
        with_it = least[r] if found is None else curves.time(found).max()
        reasons[r] = left_out(names[r], with_it + added[used + 1], step, "modelled")
    times = tuple(compute.tolist()), added[used], equal_step, alone_step
    return Partition(
        tuple(shares.tolist()), *times, reasons=tuple(reasons), names=names, uncertainty=uncertainty
    )


def left_out(name: str, with_it: float, without: float, times: str) -> str:
    """Return the sentence that says why a replica stays out, with both step times in seconds."""
    both = f"with it a step takes {1e3 * with_it:.1f} ms, without it {1e3 * without:.1f} ms"
    return f"leaving {name} out: {both}, {times}" + "; too small a gain" * bool(with_it < without)
