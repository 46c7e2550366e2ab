"""The grid grows until the optimum lies inside it, or says that it does not."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from hetlib_bundle.studies.many.search import Grid, search


def peak_at(best: float):
    """A score that falls with the distance from a rate, on a log scale; two seeds."""
    tried: list[float] = []

    def score(rates: Sequence[float]) -> np.ndarray:
        tried.extend(rates)
        one = np.array([-abs(math.log2(rate / best)) for rate in rates])
        return np.stack([one, one - 1], axis=1)

    return score, tried


@pytest.mark.parametrize("place", [-6, -3, -2, 0, 1, 2, 5])
def test_the_optimum_is_found_inside(place):
    score, tried = peak_at(0.1 * 2.0**place)
    found = search(score, Grid(middle=0.1))
    assert found.best.lr == pytest.approx(0.1 * 2.0**place)
    assert not found.best.edge
    assert found.rates == tuple(sorted(tried))
    assert len(tried) == len(set(tried))  # no rate twice
    assert found.scores.shape == (len(found.rates), 2)
    assert found.scores.mean(1).argmax() == found.rates.index(found.best.lr)


@pytest.mark.parametrize("place", [-20, 20])
def test_an_optimum_at_the_edge_is_marked(place):
    score, _ = peak_at(0.1 * 2.0**place)
    found = search(score, Grid(middle=0.1, most=1))
    assert found.best.edge
    assert found.best.lr in (found.rates[0], found.rates[-1])


@pytest.mark.parametrize("wrong", [{"middle": 0.0}, {"reach": 0}, {"more": 0}, {"most": -1}])
def test_wrong_grids_are_named(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` is"):
        Grid(**{"middle": 0.1, **wrong})
