"""Every strategy by its row of the table."""

import pytest

from hetlib.training.strategies import STRATEGIES, learning_rate, shares_for

SPEEDS = (1.0, 4.0, 2.0)
PLANNED = (10, 40, 14)


def test_shares_and_learning_rate_of_every_strategy():
    expected = {"single": (64, 0, 0), "equal": (22, 21, 21), "fastest-only": (0, 64, 0)}
    effective = 9 / (1 / 10 + 1 / 40 + 1 / 14)
    for name in STRATEGIES:
        assert shares_for(name, 64, SPEEDS, PLANNED) == expected.get(name, PLANNED)
        rate = learning_rate(
            strategy=name, optimizer="SGD", lr=0.1, global_batch=64, shares=PLANNED
        )
        if "retuned" in name:
            assert rate == pytest.approx(0.1 * effective / 64)
        else:
            assert rate == 0.1


@pytest.mark.parametrize("planned", [None, (), (32, 32)])
def test_shares_by_speed_are_one_for_each_replica(planned):
    with pytest.raises(ValueError, match="the platform has 3 replicas; give one share for each"):
        shares_for("balanced", 64, SPEEDS, planned)
