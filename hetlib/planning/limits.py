"""What bounds the local batches of a plan: caps, floors and multiples, and how many take part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np

from hetlib.containers import items
from hetlib.errors import wrong
from hetlib.inputs import MOST_SAMPLES, keep, optional, whole
from hetlib.replicas.platform import Replica

Number = TypeVar("Number", int, int | None)


class Bounds(NamedTuple):
    """Limits of the local batches, whole numbers ``(replicas,)``.

    Attributes:
        tops: Most samples of each replica, multiples of its unit.
        lows: Fewest samples of each replica that takes part, multiples of its unit.
        units: What each local batch is a multiple of.
    """

    tops: np.ndarray
    lows: np.ndarray
    units: np.ndarray


@dataclass(frozen=True)
class Limits:
    """What the local batches of some replicas must keep to.

    Attributes:
        replicas: How many there are.
        global_batch: Samples a step, B.
        caps: Most samples of each replica (memory); ``None`` is no cap.
        floors: Fewest samples of each replica that takes part, at least 1.
        multiples: What each local batch is a multiple of; 1 by default.
        active: Fewest and most replicas that take part; from one to all by default.

    Raises:
        ValueError: There is no replica, a number is missing or left over, or one is out of bounds.
    """

    replicas: int
    global_batch: int
    caps: Sequence[int | None] | None = None
    floors: Sequence[int] | None = None
    multiples: Sequence[int] | None = None
    active: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check that there is a number for each replica, none below 1."""
        replicas = whole("replicas", self.replicas, low=1)
        keep(
            self,
            global_batch=whole("global_batch", self.global_batch, low=1, high=MOST_SAMPLES),
            caps=_of_each("caps", self.caps, replicas, _cap),
            floors=_of_each("floors", self.floors, replicas, _count),
            multiples=_of_each("multiples", self.multiples, replicas, _count),
            active=_numbers(self.active, replicas),
        )

    def __str__(self) -> str:
        """Return the limits for a message."""
        bounds = f"caps {self.tops}, floors {self.lows}, multiples {self.units}"
        return f"{bounds}, `active` {self.active}"

    @cached_property
    def tops(self) -> np.ndarray:
        """Most samples of each replica, ``(replicas,)``: its cap, or the global batch."""
        if not self.caps:
            return np.full(self.replicas, self.global_batch)
        tops = [_capped(self.global_batch, cap) for cap in self.caps]
        return np.array(tops)

    @cached_property
    def lows(self) -> np.ndarray:
        """Fewest samples of each replica that takes part, ``(replicas,)``."""
        return np.array(self.floors or [1] * self.replicas)

    @cached_property
    def units(self) -> np.ndarray:
        """What each local batch is a multiple of, ``(replicas,)``."""
        return np.array(self.multiples or [1] * self.replicas)

    @property
    def numbers(self) -> tuple[int, int]:
        """Fewest and most replicas that take part."""
        return self.active or (1, self.replicas)

    def bounds(self) -> Bounds:
        """Return the limits in multiples: caps rounded down, floors rounded up."""
        units = self.units
        tops = self.tops // units * units
        lows = -(-self.lows // units) * units
        return Bounds(tops, lows, units)


def _of_each(
    name: str, value: object, replicas: int, check: Callable[[str, object], Number]
) -> tuple[Number, ...] | None:
    """Return a number of each replica; ``None`` where none is given, also as ()."""
    if value is None:
        return None
    given = items(name, value, check)
    if not given:
        return None
    return items(name, given, check, count=replicas)


def _count(name: str, value: object) -> int:
    return whole(name, value, low=1, high=MOST_SAMPLES)


def _cap(name: str, value: object) -> int | None:
    return optional(whole, name, value, low=1)


def _numbers(active: object, replicas: int) -> tuple[int, int] | None:
    """Return the fewest and most replicas that take part; ``None`` where they are not given."""
    if active is None:
        return None
    fewest, most = items("active", active, _count, count=2)
    if not fewest <= most <= replicas:
        words = f"the fewest and the most replicas that take part, of {replicas}"
        raise wrong("active", active, words)
    return fewest, most


def _capped(batch: int, cap: int | None) -> int:
    """Return the smaller one of the global batch and a cap."""
    if cap is None:
        return batch
    return min(cap, batch)


def limits_of(replicas: Sequence[Replica], floors: Sequence[int] | None = None) -> dict[str, Any]:
    """Return the limits of replicas as arguments of `partition`.

    Args:
        replicas: In the order of their ranks.
        floors: Fewest samples of each that takes part; 1 by default.

    Returns:
        ``caps``, ``floors``, ``multiples`` and ``names``.
    """
    names = [f"replica {rank} ({replica.name})" for rank, replica in enumerate(replicas)]
    return {
        "caps": [replica.max_batch for replica in replicas],
        "floors": list(floors or [1] * len(replicas)),
        "multiples": [replica.multiple for replica in replicas],
        "names": names,
    }
