"""What the benchmark groups share: medians of paired runs and their intervals."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tests.bench import Row

__all__ = ["row"]

# Half of the 95 % interval of a binomial(n, 1/2), over the root of n: 1.96 standard deviations.
_REACH = 0.98


def row(
    name: str,
    values: Sequence[float],
    *,
    at_most: float | None = None,
    within: float | None = None,
) -> Row:
    """Return the median of paired ratios with a 95 % interval of the median.

    The interval is binomial, from order statistics.

    Args:
        name: What was measured.
        values: One figure a run.
        at_most: Goal for the median.
        within: Goal for the median's distance from 1.
    """
    ordered = np.sort(values)
    runs = len(ordered)
    middle = runs / 2
    reach = _REACH * np.sqrt(runs)
    first = max(int(np.floor(middle - reach)), 0)
    last = min(int(np.ceil(middle + reach)), runs - 1)
    median = float(np.median(ordered))
    found = Row(
        name=name,
        value=median,
        low=float(ordered[first]),
        high=float(ordered[last]),
        runs=runs,
    )
    if at_most is not None:
        found = replace(found, goal=f"<= {at_most:g}", holds=median <= at_most)
    if within is not None:
        close = abs(median - 1) <= within
        found = replace(found, goal=f"1 +- {within:g}", holds=close)
    return found
