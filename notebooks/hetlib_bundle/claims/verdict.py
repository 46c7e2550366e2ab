"""Verdicts on claims: an effect, its interval over seeds, and one of three words."""

import math
import statistics
from collections.abc import Iterable
from typing import NamedTuple

# 97.5 % quantiles of Student's t for 1 to 29 degrees of freedom (NIST/SEMATECH e-Handbook,
# 1.3.6.7.2).
QUANTILES = (
    12.706,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.160,
    2.145,
    2.131,
    2.120,
    2.110,
    2.101,
    2.093,
    2.086,
    2.080,
    2.074,
    2.069,
    2.064,
    2.060,
    2.056,
    2.052,
    2.048,
    2.045,
)

DIRECTIONS = ("above", "below", "within")


class Verdict(NamedTuple):
    """A word on an effect, and the 95 % interval that it rests on."""

    # "supported", "not supported" or "underpowered".
    word: str

    # The mean.
    effect: float

    low: float

    high: float

    def __str__(self) -> str:
        """Return it as Markdown, for a notebook's own sentence."""
        between = f"{self.low:.2f} to {self.high:.2f}"
        return f"**{self.word}** ({self.effect:.2f}, 95 % interval {between})"


def interval(values: Iterable[float]) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % t-interval.

    With n values of standard deviation s, half = t(0.975, n - 1) s / sqrt(n).

    Args:
        values: Independent ones; for a single value the half is infinite.
    """
    numbers = [float(value) for value in values]
    mean = statistics.fmean(numbers)
    if len(numbers) < 2:
        return mean, math.inf
    freedom = min(len(numbers) - 1, len(QUANTILES))
    quantile = QUANTILES[freedom - 1]
    half = quantile * statistics.stdev(numbers) / math.sqrt(len(numbers))
    return mean, half


def verdict(effects: Iterable[float], margin: float, direction: str) -> Verdict:
    """Judge whether the mean effect is where a claim says.

    It is *supported* where the whole 95 % interval lies there, *not supported* where none of it
    does, else *underpowered*.

    Args:
        effects: One a seed.
        margin: Of the claim, in the unit of the effects.
        direction: "above" or "below" the margin, or "within" -margin..margin.

    Raises:
        ValueError: Another direction.
    """
    if direction not in DIRECTIONS:
        raise ValueError(
            f"`direction` is {direction!r}; allowed are 'above', 'below' and 'within'."
        )
    claimed = {
        "above": (margin, math.inf),
        "below": (-math.inf, margin),
        "within": (-margin, margin),
    }
    least, most = claimed[direction]
    mean, half = interval(effects)
    low = mean - half
    high = mean + half

    if least < low and high < most:
        word = "supported"
    elif high <= least or low >= most:
        word = "not supported"
    else:
        word = "underpowered"
    return Verdict(word, mean, low, high)
