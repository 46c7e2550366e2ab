"""The best shares within some limits, and what other shares would take."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hetlib.errors import wrong
from hetlib.inputs import number
from hetlib.planning.limits import Limits
from hetlib.planning.solver import Problem, shortest
from hetlib.planning.speed import Curves


class Choices:
    """The best shares within some limits, and what others would take.

    Args:
        limits: Of the local batches.
        curves: Step models of the replicas.
        communication: Seconds that k active replicas add to a step.

    Raises:
        ValueError: ``communication`` is no function, or returns no number >= 0.
    """

    def __init__(
        self,
        limits: Limits,
        curves: Curves,
        communication: Callable[[int], float] | None,
    ) -> None:
        """Ask for the communication of each number of replicas once."""
        self.limits = limits
        self.curves = curves
        self.bounds = limits.bounds()
        self.communicates = communication is not None
        self.costs = [0.0] * (limits.replicas + 1)  # by number of active replicas
        if communication is None:
            return
        if not callable(communication):
            raise wrong("communication", communication, "a function of the number of replicas")
        for k in range(2, limits.replicas + 1):
            self.costs[k] = number(f"communication({k})", communication(k), low=0)

    def problem(self, fewest: int, most: int) -> Problem:
        """Return the problem of dealing the global batch to so many replicas."""
        return Problem(
            curves=self.curves,
            batch=self.limits.global_batch,
            bounds=self.bounds,
            fewest=fewest,
            most=most,
        )

    def step(self, shares: np.ndarray) -> float:
        """Return the seconds of a step, communication among them."""
        used = np.count_nonzero(shares)
        return float(self.curves.time(shares).max() + self.costs[used])

    def shares(self) -> np.ndarray | None:
        """Return the shares with the shortest step, or ``None`` where no replicas can take B.

        Fewer replicas communicate for a shorter time: each number of them is tried, from the
        largest on, and has to beat the best before.
        """
        fewest, most = self.limits.numbers
        tried = [most]
        if self.communicates:
            tried = list(range(most, fewest - 1, -1))
        best = None
        least = np.inf
        for k in tried:
            found = shortest(self.problem(fewest, k), limit=least - self.costs[k])
            if found is None:
                continue
            step = self.step(found)
            if step < least:
                least = step
                best = found
        return best

    def equal_step(self) -> float | None:
        """Return the seconds of a step with equal shares; ``None`` where a cap forbids them."""
        count = self.limits.replicas
        batch = self.limits.global_batch
        one_more = np.arange(count) < batch % count
        equal = batch // count + one_more
        if (equal > self.limits.tops).any():
            return None
        used = min(count, batch)
        return float(self.curves.time(equal).max()) + self.costs[used]

    def alone_step(self) -> float | None:
        """Return the step of the best replica that takes the whole batch; ``None`` without one."""
        batch = self.limits.global_batch
        whole = self.curves.time(np.full(self.limits.replicas, batch))
        able = (self.bounds.tops == batch) & (self.bounds.lows <= batch)
        return min(whole[able].tolist(), default=None)

    def reasons(self, shares: np.ndarray, names: Sequence[str]) -> tuple[str, ...]:
        """Return the sentence of each replica that is left out, "" for the others."""
        sentences = [""] * len(names)
        step = self.step(shares)
        used = int(np.count_nonzero(shares))
        longest = self.curves.time(shares).max()
        # a replica that joins takes its floor at least
        least = np.maximum(self.curves.time(self.bounds.lows), longest)
        for r in np.flatnonzero(shares == 0).tolist():
            compute = least[r]
            joined = self.joined_by(shares, r)
            if joined is not None:
                compute = self.curves.time(joined).max()
            with_it = compute + self.costs[used + 1]
            sentences[r] = left_out(names[r], with_it, step, "modelled")
        return tuple(sentences)

    def joined_by(self, shares: np.ndarray, r: int) -> np.ndarray | None:
        """Return the best shares of those that take part and one more, if communication decides."""
        if not self.communicates:
            return None
        taking_part = shares > 0
        taking_part[r] = True
        used = int(np.count_nonzero(taking_part))
        tops = np.where(taking_part, self.bounds.tops, 0)
        everybody = self.problem(fewest=used, most=used)
        these = self.bounds._replace(tops=tops)
        return shortest(replace(everybody, bounds=these))


def left_out(name: str, with_it: float, without: float, times: str) -> str:
    """Return the sentence that says why a replica stays out.

    Args:
        name: Of the replica.
        with_it: Seconds of a step in which it takes part.
        without: Seconds of a step without it.
        times: "modelled" or "measured".
    """
    slower = f"with it a step takes {1e3 * with_it:.1f} ms"
    faster = f"without it {1e3 * without:.1f} ms"
    sentence = f"leaving {name} out: {slower}, {faster}, {times}"
    if with_it < without:
        sentence += "; too small a gain"
    return sentence
