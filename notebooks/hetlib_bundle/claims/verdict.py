"""Verdicts on claims: an effect, its interval over seeds, and one of three words."""

import math
import statistics
from collections.abc import Iterable
from typing import NamedTuple

# 97.5 % quantiles of Student's t for 1 to 29 degrees of freedom (NIST/SEMATECH e-Handbook,
# 1.3.6.7.2).
_T = """12.706 4.303 3.182 2.776 2.571 2.447 2.365 2.306 2.262 2.228 2.201 2.179 2.160 2.145 2.131 2.120 2.110 2.101
2.093 2.086 2.080 2.074 2.069 2.064 2.060 2.056 2.052 2.048 2.045"""


DIRECTIONS = ("above", "below", "within")


class Verdict(NamedTuple):
    """``word`` is "supported", "not supported" or "underpowered"; low..high is the 95 % interval of the effect."""

    word: str
    effect: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"**{self.word}** ({self.effect:.2f}, 95 % interval {self.low:.2f} to {self.high:.2f})"
        )


def interval(values: Iterable[float]) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % t-interval, infinite for a single value."""
    x = [float(value) for value in values]
    quantile = float(_T.split()[min(max(len(x) - 1, 1), 29) - 1])
    return statistics.fmean(x), quantile * statistics.stdev(x) / math.sqrt(len(x)) if len(
        x
    ) > 1 else math.inf


def verdict(effects: Iterable[float], margin: float, direction: str) -> Verdict:
    """Judge whether the mean effect is ``"above"`` or ``"below"`` the margin, or ``"within"`` -margin..margin."""
    if direction not in DIRECTIONS:
        raise ValueError(
            f"`direction` is {direction!r}; allowed are 'above', 'below' and 'within'."
        )
    mean, half = interval(effects)
    low, high = {
        "above": (margin, math.inf),
        "below": (-math.inf, margin),
        "within": (-margin, margin),
    }[direction]
    inside, outside = (
        low < mean - half and mean + half < high,
        mean + half <= low or mean - half >= high,
    )
    word = "supported" if inside else "not supported" if outside else "underpowered"
    return Verdict(word, mean, mean - half, mean + half)
