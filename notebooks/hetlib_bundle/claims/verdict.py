"""Verdicts on claims: an effect, its interval over repeats, and one of three words.

Of n independent values with mean m and standard deviation s, the 95 % interval is
m -+ t(0.975, n - 1) s / sqrt(n). The word follows from two one-sided t-tests at 2.5 %, which say
the same as the interval: "supported" where the mean is surely where the claim has it, "not
supported" where it surely is not, else "underpowered".
"""

import math
import statistics
from collections.abc import Iterable
from typing import NamedTuple

from scipy import special  # scipy.stats has the same in more words, and takes a second to import

DIRECTIONS = ("above", "below", "within")

# Of each one-sided test; both sides together are the 5 % of a 95 % interval.
LEVEL = 0.025

SUPPORTED = "supported"
NOT_SUPPORTED = "not supported"
UNDERPOWERED = "underpowered"


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


class Evidence(NamedTuple):
    """How surprising the values are where the claim is wrong, and where it is right."""

    # Probability of values as far on the claimed side, were the mean at the margin.
    against_wrong: float

    # Probability of values as far on the other side, were the mean at the margin.
    against_right: float


def interval(values: Iterable[float]) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % t-interval.

    Args:
        values: Independent ones; for a single value the half is infinite.
    """
    numbers = [float(value) for value in values]
    mean = statistics.fmean(numbers)
    if len(numbers) < 2:
        return mean, math.inf
    quantile = float(special.stdtrit(len(numbers) - 1, 1 - LEVEL))
    half = quantile * statistics.stdev(numbers) / math.sqrt(len(numbers))
    return mean, half


def evidence(values: Iterable[float], margin: float, direction: str) -> Evidence:
    """Return the p-values of a claim's two one-sided t-tests.

    "within" is tested from both sides (TOST): it is right where the mean is above -margin and below
    margin, and wrong where it is beyond either.

    Args:
        values: Independent ones; a single one is no evidence.
        margin: Of the claim, in the unit of the values.
        direction: "above" or "below" the margin, or "within" -margin..margin.

    Raises:
        ValueError: Another direction.
    """
    _check(direction)
    numbers = [float(value) for value in values]
    if direction == "above":
        return Evidence(_above(numbers, margin), _below(numbers, margin))
    if direction == "below":
        return Evidence(_below(numbers, margin), _above(numbers, margin))
    right = max(_above(numbers, -margin), _below(numbers, margin))
    wrong = min(_below(numbers, -margin), _above(numbers, margin))
    return Evidence(right, wrong)


def word_of(found: Evidence) -> str:
    """Return the word that p-values say at `LEVEL`, corrected or not."""
    if found.against_wrong <= LEVEL:
        return SUPPORTED
    if found.against_right <= LEVEL:
        return NOT_SUPPORTED
    return UNDERPOWERED


def verdict(effects: Iterable[float], margin: float, direction: str) -> Verdict:
    """Judge whether the mean effect is where a claim says.

    Args:
        effects: One a seed or sitting.
        margin: Of the claim, in the unit of the effects.
        direction: "above" or "below" the margin, or "within" -margin..margin.

    Raises:
        ValueError: Another direction.
    """
    numbers = list(effects)
    word = word_of(evidence(numbers, margin, direction))
    mean, half = interval(numbers)
    return Verdict(word, mean, mean - half, mean + half)


def _check(direction: str) -> None:
    if direction not in DIRECTIONS:
        raise ValueError(
            f"`direction` is {direction!r}; allowed are 'above', 'below' and 'within'."
        )


def _above(values: list[float], margin: float) -> float:
    """Return the p-value of "the mean is above the margin"."""
    if len(values) < 2:
        return 1.0
    distance = statistics.fmean(values) - margin
    error = statistics.stdev(values) / math.sqrt(len(values))
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(special.stdtr(len(values) - 1, -distance / error))


def _below(values: list[float], margin: float) -> float:
    """Return the p-value of "the mean is below the margin"."""
    return _above([-value for value in values], -margin)
