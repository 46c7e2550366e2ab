r"""Local batches that minimise the step, who stays out, and what that predicts.

Minimise :math:`\max_r t_r(n_r) + c(k)` over whole numbers with :math:`\sum_r n_r = B` and each
:math:`n_r` either 0 or a multiple of m_r in floor_r..cap_r, where k replicas have :math:`n_r > 0`
and c is the time that their communication adds. The step models :math:`t_r` only have to be
monotone: the smallest feasible step time is found by bisection, and what can be taken off again
comes off the slowest replicas first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from hetlib.containers import items
from hetlib.errors import PlanError, require, wrong
from hetlib.inputs import MOST_SAMPLES, keep, number, one_of, optional, whole
from hetlib.planning.arguments import speed_model
from hetlib.planning.choices import Choices
from hetlib.planning.limits import Limits
from hetlib.planning.speed import Curves, SpeedModel

TIMES = ("modelled", "measured")

Item = TypeVar("Item")


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

    Raises:
        ValueError: A field holds anything else, or has another number of entries than `shares`.
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

    def __post_init__(self) -> None:
        """Check the fields; sequences become tuples."""
        shares = items("shares", self.shares, _share, low=1)
        if sum(shares) < 1:
            raise wrong("shares", shares, "numbers >= 0 with a sum >= 1")
        count = len(shares)
        keep(
            self,
            shares=shares,
            compute=items("compute", self.compute, _seconds, count=count),
            communication=_seconds("communication", self.communication),
            equal_step=optional(_seconds, "equal_step", self.equal_step),
            alone_step=optional(_seconds, "alone_step", self.alone_step),
            modelled_step=optional(_seconds, "modelled_step", self.modelled_step),
            reasons=items("reasons", self.reasons, _sentence, count=count),
            uncertainty=_seconds("uncertainty", self.uncertainty),
            times=one_of("times", self.times, TIMES),
            alone_times=one_of("alone_times", self.alone_times, ("", *TIMES)),
            note=_sentence("note", self.note),
            # of older plans these may be empty
            names=_of_each("names", self.names, _sentence, count),
            passes=_of_each("passes", self.passes, _share, count),
            models=_of_each("models", self.models, speed_model, count),
            caps=_of_each("caps", self.caps, _cap, count),
            floors=_of_each("floors", self.floors, _share, count),
            multiples=_of_each("multiples", self.multiples, _share, count),
        )

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
    models = items("models", models, speed_model, low=1)
    limits = Limits(
        replicas=len(models),
        global_batch=global_batch,
        caps=caps,
        floors=floors,
        multiples=multiples,
        active=active,
    )
    choices = Choices(limits, Curves(models), communication)
    shares = choices.shares()
    if shares is None:
        mend = "change the global batch, raise a cap, or lower a floor or multiple"
        raise PlanError(
            f"no choice of replicas takes exactly {global_batch} samples with {limits}; {mend}."
        )

    named = [f"replica {r}" for r in range(len(models))]
    if names is not None:
        named = list(items("names", names, _sentence, count=len(models)))
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
        reasons=choices.reasons(shares, named),
        names=tuple(named),
        uncertainty=max(spreads),
        models=models,
        caps=tuple(limits.caps or ()),
        floors=tuple(limits.floors or ()),
        multiples=tuple(limits.multiples or ()),
        modelled_step=float(compute.max()) + communicated,
        alone_times="modelled",
    )


def _of_each(
    name: str, value: object, check: Callable[[str, object], Item], count: int
) -> tuple[Item, ...]:
    """Return the entry of each replica, or () where there is none."""
    given = items(name, value, check)
    return items(name, given, check, count=count) if given else ()


def _share(name: str, value: object) -> int:
    return whole(name, value, low=0, high=MOST_SAMPLES)


def _cap(name: str, value: object) -> int | None:
    return optional(whole, name, value, low=1)


def _seconds(name: str, value: object) -> float:
    return number(name, value, low=0)


def _sentence(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise wrong(name, value, "text")
    return str(value)
