"""What bounds the local batches of a plan: caps, floors and multiples, and how many take part."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np


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
        ValueError: There is no replica, a number is missing or left over, or one is below 1.
    """

    replicas: int
    global_batch: int
    caps: Sequence[int | None] | None = None
    floors: Sequence[int] | None = None
    multiples: Sequence[int] | None = None
    active: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check that there is a number for each replica, none below 1."""
        given = (self.tops, self.lows, self.units)
        lengths = {len(numbers) for numbers in given}
        complete = self.replicas > 0 and lengths == {self.replicas}
        if complete and min(numbers.min() for numbers in given) >= 1:
            return
        got = f"{self.replicas} models, batch {self.global_batch}, {self}"
        raise ValueError(f"got {got}; give one of each a replica, all >= 1.")

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


def _capped(batch: int, cap: int | None) -> int:
    """Return the smaller one of the global batch and a cap."""
    if cap is None:
        return batch
    return min(cap, batch)
