"""Intervals against known quantiles; the three words."""

import math

import pytest
from scipy import stats

from hetlib_bundle.claims.verdict import interval, verdict


def test_interval_by_hand() -> None:
    mean, half = interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert half == pytest.approx(4.303 / math.sqrt(3))


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30])
def test_quantiles_are_those_of_scipy(n: int) -> None:
    values = [float(i * i) for i in range(n)]
    low, high = stats.t.interval(0.95, n - 1, loc=0, scale=stats.sem(values))
    _, half = interval(values)
    assert half == pytest.approx((high - low) / 2, rel=2e-4)


def test_more_values_than_the_table_has_take_its_last_quantile() -> None:
    n = 40
    deviation = math.sqrt(n * (n + 1) / 12)  # of 0, 1, ..., n - 1
    _, half = interval(range(n))
    assert half == pytest.approx(2.045 * deviation / math.sqrt(n))


@pytest.mark.parametrize(
    ("effects", "margin", "direction", "word"),
    [
        ([0.5, 0.6, 0.55], 0.2, "above", "supported"),
        ([0.1, 0.11, 0.12], 0.2, "above", "not supported"),
        ([0.1, 0.5, 0.3], 0.2, "above", "underpowered"),
        ([-0.1, -0.11, -0.12], -0.01, "below", "supported"),
        ([0.1, 0.11, 0.12], -0.01, "below", "not supported"),
        ([0.0, 0.0, 0.0], 0.01, "within", "supported"),
        ([0.1, 0.11, 0.12], 0.01, "within", "not supported"),
        ([-0.1, 0.1, 0.0], 0.01, "within", "underpowered"),
        ([0.5], 0.2, "above", "underpowered"),
    ],
)
def test_words(effects: list[float], margin: float, direction: str, word: str) -> None:
    judged = verdict(effects, margin, direction)
    assert judged.word == word
    assert judged.low <= judged.effect <= judged.high


def test_unknown_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed are 'above', 'below' and 'within'"):
        verdict([1.0, 2.0], 0.0, "up")
