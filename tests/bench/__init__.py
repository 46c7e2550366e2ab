"""Benchmarks: one module a group, each with ``run() -> list[Row]``.

``make bench`` runs them all, ``make bench BENCH=step`` one. Nothing here asserts: a row says
whether its goal holds, and the tests stay free of clocks.
"""

from dataclasses import dataclass

__all__ = ["Row"]


@dataclass(frozen=True)
class Row:
    """One measured figure: the median ``value`` of ``runs`` runs and its interval ``low``..``high``."""

    name: str
    value: float
    low: float
    high: float
    runs: int
    goal: str = ""  # in words, e.g. "<= 0.75"; empty where there is none
    holds: bool | None = None
