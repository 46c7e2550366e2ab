"""Benchmarks: one module a group, each with ``run() -> list[Row]``.

``make bench`` runs them all, ``make bench BENCH=step`` one. Nothing here asserts: a row says
whether its goal holds, and the tests stay free of clocks.
"""

from dataclasses import dataclass

__all__ = ["Row"]


@dataclass(frozen=True)
class Row:
    """One measured figure: the median of some runs and its interval.

    Attributes:
        name: What was measured.
        value: The median.
        low: Lower end of its interval.
        high: Upper end of its interval.
        runs: How many there were.
        goal: In words, e.g. "<= 0.75"; empty where there is none.
        holds: Whether the median meets it; ``None`` where there is none.
    """

    name: str
    value: float
    low: float
    high: float
    runs: int
    goal: str = ""
    holds: bool | None = None
