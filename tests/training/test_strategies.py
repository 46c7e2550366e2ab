"""Every strategy by its row of the table."""

import pytest

from hetlib.training.strategies import STRATEGIES, learning_rate, samples_worth, shares_for

SPEEDS = (1.0, 4.0, 2.0)
PLANNED = (10, 40, 14)


# The plain mean's effective batch.
EFFECTIVE = 9 / (1 / 10 + 1 / 40 + 1 / 14)

# Strategy: its shares, and its learning rate where 0.1 is given for the global batch.
EXPECTED = {
    "single": ((64, 0, 0), 0.1),
    "equal": ((22, 21, 21), 0.1),
    "uneven-plain": (PLANNED, 0.1),
    "uneven-plain-retuned": (PLANNED, pytest.approx(0.1 * EFFECTIVE / 64)),
    "speed-weighted": (PLANNED, 0.1),
    "balanced": (PLANNED, 0.1),
    "fastest-only": ((0, 64, 0), 0.1),
}


def test_shares_and_learning_rate_of_every_strategy():
    assert set(EXPECTED) <= set(STRATEGIES)
    for name, (shares, expected) in EXPECTED.items():
        assert shares_for(name, 64, SPEEDS, PLANNED) == shares
        rate = learning_rate(
            strategy=name, optimizer="SGD", lr=0.1, global_batch=64, shares=PLANNED
        )
        assert rate == expected


def test_a_gradient_is_worth_its_samples_or_fewer_where_it_weighs_them_unevenly():
    for name in ("single", "balanced", "fastest-only"):
        assert samples_worth(name, PLANNED) == 64
    for name in ("equal", "uneven-plain", "uneven-plain-retuned"):
        assert samples_worth(name, PLANNED) == pytest.approx(EFFECTIVE)
        assert samples_worth(name, (0, *PLANNED)) == pytest.approx(EFFECTIVE)
    by_speed = 49 / (1 / 10 + 16 / 40 + 4 / 14)
    assert samples_worth("speed-weighted", PLANNED, SPEEDS) == pytest.approx(by_speed)
    with pytest.raises(ValueError, match="one speed for each of 3 replicas"):
        samples_worth("speed-weighted", PLANNED)


@pytest.mark.parametrize("planned", [None, (), (32, 32)])
def test_shares_by_speed_are_one_for_each_replica(planned):
    with pytest.raises(ValueError, match="the platform has 3 replicas; give one share for each"):
        shares_for("balanced", 64, SPEEDS, planned)
