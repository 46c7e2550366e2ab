"""What the benchmark groups share: medians of paired runs and their intervals."""

import numpy as np

from tests.bench import Row

__all__ = ["row"]


def row(
    name: str, values: list[float], *, at_most: float | None = None, within: float | None = None
) -> Row:
    """Return the median of paired ratios with a 95 % interval of the median (binomial, from order statistics).

    Args:
        name: What was measured.
        values: One figure a run.
        at_most: Goal for the median.
        within: Goal for the median's distance from 1.
    """
    ordered = np.sort(values)
    n = len(ordered)
    reach = 0.98 * np.sqrt(n)  # 1.96 standard deviations of a binomial(n, 1/2)
    low, high = (
        ordered[max(int(np.floor(n / 2 - reach)), 0)],
        ordered[min(int(np.ceil(n / 2 + reach)), n - 1)],
    )
    median = float(np.median(ordered))
    goal, holds = "", None
    if at_most is not None:
        goal, holds = f"<= {at_most:g}", median <= at_most
    if within is not None:
        goal, holds = f"1 +- {within:g}", abs(median - 1) <= within
    return Row(name, median, float(low), float(high), n, goal, holds)
