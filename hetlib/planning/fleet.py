"""The replicas as they were measured, and what they do if each is slower by a factor."""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

from hetlib.balanced.schedule import Shares
from hetlib.planning.partition import Partition, partition
from hetlib.planning.speed import SpeedModel


class Best(NamedTuple):
    """The best plan at some speeds: its local batches, and its work, see `Fleet.ideal`."""

    shares: Shares
    work: float


class Fleet:
    """The replicas as they were measured, and what they would do if each were slower by a factor.

    Args:
        models: Step model of each replica.
        batch: Samples a step over all replicas.
        caps: Most samples of each replica.
        floors: Fewest samples of each replica; 1 by default.
        multiples: What each local batch is a multiple of; 1 by default.
    """

    def __init__(
        self,
        models: Sequence[SpeedModel],
        batch: int,
        caps: Sequence[int | None] | None,
        *,
        floors: Sequence[int] | None = None,
        multiples: Sequence[int] | None = None,
    ) -> None:
        """Model the speed of each replica with the whole batch."""
        self.models = models
        self.batch = batch
        self._limits: dict[str, Any] = {"caps": caps, "floors": floors, "multiples": multiples}
        # A step asks for the same few shares again: nothing is computed twice.
        self.times = lru_cache(partial(modelled_times, models))
        whole = (batch,) * len(models)
        self.speeds = [1 / seconds for seconds in self.times(whole)]

    def step(self, factors: Sequence[float], shares: Shares) -> float:
        """Return the compute phase of a step with these shares, in seconds."""
        modelled = self.times(shares)
        return max(factor * each for factor, each in zip(factors, modelled, strict=True))

    def ideal(self, factors: Sequence[float], work: float) -> float:
        """Return the compute phase of the best plan, in seconds, without looking for it.

        It is the work over the sum of the speeds, where a plan's work is its step times the sum of
        the speeds that it was made for.
        """
        return work / self._speed(factors)

    def best(self, factors: Sequence[float]) -> Best:
        """Return the best plan; each replica keeps a sample, as no work would show no recovery."""
        pairs = zip(self.models, factors, strict=True)
        slowed = [model.slowed(factor) for model, factor in pairs]
        plan = partition(slowed, self.batch, **self._limits)
        work = plan.step * self._speed(factors)
        if min(plan.shares) == 0:
            everybody = (len(slowed), len(slowed))
            plan = partition(slowed, self.batch, active=everybody, **self._limits)
        return Best(plan.shares, work)

    def _speed(self, factors: Sequence[float]) -> float:
        """Return the sum of the replicas' speeds."""
        return sum(speed / factor for speed, factor in zip(self.speeds, factors, strict=True))


def active_in(plan: Partition) -> list[int]:
    """Return the numbers of the replicas that a plan gives a share."""
    return [replica for replica, samples in enumerate(plan.shares) if samples]


def fleet_of(plan: Partition) -> Fleet:
    """Return those replicas of a plan that have a share, with their models and limits."""
    if not plan.models:
        raise ValueError(
            "`plan` carries no speed models, as those recorded by older versions; plan again, or "
            "give models and shares."
        )
    active = active_in(plan)
    return Fleet(
        [plan.models[r] for r in active],
        plan.global_batch,
        [plan.caps[r] for r in active] if plan.caps else None,
        floors=[plan.floors[r] for r in active] if plan.floors else None,
        multiples=[plan.multiples[r] for r in active] if plan.multiples else None,
    )


def modelled_times(models: Sequence[SpeedModel], shares: Shares) -> list[float]:
    """Return the compute time of each replica with its share, in seconds.

    A replica without samples in a short step is taken to have one: its time is divided by this.
    """
    return [model.time(max(n, 1)) for model, n in zip(models, shares, strict=True)]
