r"""Local batches that minimise the step, who stays out, and what that predicts.

Minimise :math:`\max_r t_r(n_r) + c(k)` over whole numbers with :math:`\sum_r n_r = B` and each
:math:`n_r` either 0 or a multiple of m_r in floor_r..cap_r, where k replicas have :math:`n_r > 0`
and c is the time that their communication adds. The step models :math:`t_r` only have to be
monotone: the smallest feasible step time is found by bisection, and what can be taken off again
comes off the slowest replicas first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hetlib.errors import PlanError, require
from hetlib.planning.limits import Limits
from hetlib.planning.solver import Problem, fastest
from hetlib.planning.speed import Curves, SpeedModel


@dataclass(frozen=True)
class Partition:
    """A plan: the local batch of each replica and the times behind it, in seconds.

    Attributes:
        shares: Local batches n_r; their sum is the global batch.
        compute: Compute time of each replica with its share.
        communication: What the communication adds to a step.
        equal_step: Modelled step with equal shares; ``None`` where the caps forbid them.
        alone_step: Step of the best single replica, measured if it was tried; ``None`` where no cap
            admits it.
        reasons: A sentence for each replica that is left out, "" for the others.
        names: Of the replicas.
        times: "modelled" or "measured": compute and communication.
        uncertainty: Relative standard error of `step`, from the spread of the measurement.
        passes: In which each replica takes its share; () is one each.
        models: Step model of each replica, as it is beside the others; () where none is known.
        caps: Most samples of each replica, as far as there are caps; () is none.
        floors: Fewest samples of each replica that takes part; () is 1 each.
        multiples: What each local batch is a multiple of; () is 1 each.
        modelled_step: Step of these shares by the models that `equal_step` is from; ``None`` where
            it is not known.
        alone_times: "modelled" or "measured": `alone_step`; "" where it is not known.
        note: What else there is to say, such as why planning took longer than it was given.
    """

    shares: tuple[int, ...]
    compute: tuple[float, ...]
    communication: float
    equal_step: float | None
    alone_step: float | None
    reasons: tuple[str, ...]
    names: tuple[str, ...] = ()
    times: str = "modelled"
    uncertainty: float = 0.0
    passes: tuple[int, ...] = ()
    models: tuple[SpeedModel, ...] = field(default=(), repr=False)
    caps: tuple[int | None, ...] = ()
    floors: tuple[int, ...] = ()
    multiples: tuple[int, ...] = ()
    modelled_step: float | None = None
    alone_times: str = ""
    note: str = ""

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
        longest = max(self.compute)
        waits = [1 - seconds / longest for seconds in self.compute]
        return tuple(waits)

    def explain(self) -> Any:
        """Return a table of the plan, one row a replica.

        Returns:
            A ``pandas.DataFrame``: share, compute time, waiting, and why a replica is left out.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        pandas = require("pandas", "cli")
        table = {
            "replica": self.names,
            "share": self.shares,
            f"compute (ms), {self.times}": np.multiply(self.compute, 1e3),
            "idle (%)": np.multiply(self.idle, 100),
            "reason": self.reasons,
        }
        return pandas.DataFrame(table)

    def __str__(self) -> str:
        """Return the step and how it compares with equal shares and the best replica alone.

        Measured times are compared with measured ones, and modelled with modelled ones.
        """
        milliseconds = f"{1e3 * self.step:.1f} ms"
        percent = f"{100 * self.uncertainty:.0f} %"
        parts = [
            f"step {milliseconds} +- {percent}, {self.times}",
            self._compared("equal shares", self.equal_step, "modelled"),
            self._compared("the best alone", self.alone_step, self.alone_times),
        ]
        if self.note:
            parts.append(self.note)
        return "; ".join(parts)

    def _step_by(self, times: str) -> float | None:
        """Return the step as measured or modelled; ``None`` where it is not known."""
        if times == self.times:
            return self.step
        return self.modelled_step if times == "modelled" else None

    def _compared(self, other: str, seconds: float | None, times: str) -> str:
        """Return how many times as fast as another plan with a step of ``seconds`` this one is."""
        if seconds is None:
            return f"{other}: beyond a cap"
        own = self._step_by(times)
        if own is None:
            return f"{other}: {1e3 * seconds:.1f} ms, {times or 'as recorded'}"
        return f"{seconds / own:.2f} times as fast as {other} (both {times})"


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
    """Choose the local batches with the shortest modelled step.

    Args:
        models: Step model of each replica.
        global_batch: Samples a step, B.
        caps: Most samples of each replica (memory); ``None`` is no cap.
        floors: Fewest samples of each replica that takes part, at least 1.
        multiples: What each local batch is a multiple of, e.g. 8 for tensor cores; 1 by default.
        names: Names for the reasons.
        communication: Seconds that k active replicas add to a step, not falling in k; none by
            default.
        active: Fewest and most replicas that take part; from one to all by default.

    Returns:
        The plan, with its times as the models say.

    Raises:
        ValueError: The arguments do not fit together.
        PlanError: No replicas can take exactly B within the limits.

    Example:
        >>> models = [SpeedModel.constant(90), SpeedModel.constant(30)]
        >>> partition(models, 40).shares
        (30, 10)
    """
    limits = Limits(
        replicas=len(models),
        global_batch=global_batch,
        caps=caps,
        floors=floors,
        multiples=multiples,
        active=active,
    )
    choices = _Choices(limits, Curves(models), communication)
    shares = choices.shares()
    if shares is None:
        mend = "change the global batch, raise a cap, or lower a floor or multiple"
        raise PlanError(
            f"no choice of replicas takes exactly {global_batch} samples with {limits}; {mend}."
        )

    names = tuple(names or [f"replica {r}" for r in range(len(models))])
    used = np.flatnonzero(shares).tolist()
    compute = choices.curves.time(shares)
    spreads = [models[r].spread for r in used]
    communicated = choices.costs[len(used)]
    return Partition(
        shares=tuple(shares.tolist()),
        compute=tuple(compute.tolist()),
        communication=communicated,
        equal_step=choices.equal_step(),
        alone_step=choices.alone_step(),
        reasons=choices.reasons(shares, names),
        names=names,
        uncertainty=max(spreads),
        models=tuple(models),
        caps=tuple(caps or ()),
        floors=tuple(floors or ()),
        multiples=tuple(multiples or ()),
        modelled_step=float(compute.max()) + communicated,
        alone_times="modelled",
    )


class _Choices:
    """The best shares within some limits, and what others would take.

    Args:
        limits: Of the local batches.
        curves: Step models of the replicas.
        communication: Seconds that k active replicas add to a step.
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
        if communication is not None:
            for k in range(2, limits.replicas + 1):
                self.costs[k] = communication(k)

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
        shortest = np.inf
        for k in tried:
            found = fastest(self.problem(fewest, k), limit=shortest - self.costs[k])
            if found is None:
                continue
            step = self.step(found)
            if step < shortest:
                shortest = step
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
        return fastest(replace(everybody, bounds=these))


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
