"""The search for shares where floors and multiples are in the way."""

import numpy as np
import pytest

from hetlib.planning.limits import Bounds
from hetlib.planning.solver import Problem, shortest
from hetlib.planning.speed import Curves, SpeedModel

SUMS = {
    2: [2, 0],
    3: [0, 3],
    5: [2, 3],
    6: None,
    7: [4, 3],
}


@pytest.mark.parametrize("batch", SUMS)
def test_the_sums_of_the_worked_example(batch):
    models = [SpeedModel.constant(1.0)] * 2
    bounds = Bounds(
        tops=np.array([4, 3]),
        lows=np.array([2, 3]),
        units=np.array([2, 3]),
    )
    problem = Problem(
        curves=Curves(models),
        batch=batch,
        bounds=bounds,
        fewest=1,
        most=2,
    )
    found = shortest(problem)
    if found is not None:
        found = found.tolist()
    assert found == SUMS[batch]
