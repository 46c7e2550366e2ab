"""Intervals against known quantiles; the three words."""

import math

import pytest
from scipy import stats

from hetlib_bundle.claims.verdict import evidence, interval, verdict


def test_interval_by_hand() -> None:
    mean, half = interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert half == pytest.approx(4.30265273 / math.sqrt(3))


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30, 100])
def test_the_half_width_is_that_of_scipy(n: int) -> None:
    values = [float(i * i) for i in range(n)]
    low, high = stats.t.interval(0.95, n - 1, loc=0, scale=stats.sem(values))
    _, half = interval(values)
    assert half == pytest.approx((high - low) / 2, rel=1e-12)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30, 100])
def test_the_tests_are_those_of_scipy(n: int) -> None:
    values = [0.3 + 0.1 * math.sin(i) for i in range(n)]
    for margin in (0.25, 0.3, 0.4):
        above = stats.ttest_1samp(values, margin, alternative="greater").pvalue
        found = evidence(values, margin, "above")
        assert found.against_wrong == pytest.approx(above, rel=1e-9)
        assert found.against_right == pytest.approx(1 - above, rel=1e-6)


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


DRAWS = [0.31, -0.12, 0.44, 0.25, 0.08, 0.19]


@pytest.mark.parametrize("margin", [-0.3, 0.0, 0.1, 0.5])
def test_p_values_are_those_of_the_t_test(margin: float) -> None:
    above = stats.ttest_1samp(DRAWS, margin, alternative="greater").pvalue
    below = stats.ttest_1samp(DRAWS, margin, alternative="less").pvalue
    assert evidence(DRAWS, margin, "above") == pytest.approx((above, below))
    assert evidence(DRAWS, margin, "below") == pytest.approx((below, above))


def test_within_is_tested_from_both_sides() -> None:
    not_below = stats.ttest_1samp(DRAWS, -0.5, alternative="greater").pvalue
    not_above = stats.ttest_1samp(DRAWS, 0.5, alternative="less").pvalue
    found = evidence(DRAWS, 0.5, "within")
    assert found.against_wrong == pytest.approx(max(not_below, not_above))
    assert found.against_right == pytest.approx(min(1 - not_below, 1 - not_above))


def test_a_single_value_is_no_evidence_and_equal_ones_are_all_of_it() -> None:
    assert evidence([5.0], 0.0, "above") == (1.0, 1.0)
    assert evidence([5.0, 5.0], 0.0, "above") == (0.0, 1.0)
    assert evidence([0.0, 0.0], 0.0, "above") == (1.0, 1.0)
