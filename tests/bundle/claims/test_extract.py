"""The values of claims: runs paired by seed, and the times in them."""

import dataclasses

import pytest

from hetlib_bundle import claims
from tests.bundle.claims.made import claim, run


def test_values_are_paired_by_seed_and_limited_to_the_data() -> None:
    records = [
        run("single", 0, 0.60),
        run("uneven-plain", 0, 0.50),
        run("single", 1, 0.7),
        run("uneven-plain", 1, 0.65),
        run("single", 2),
        run("uneven-plain", 0, 0.1, "brandenburg"),
        run("single", 0, 0.9, "brandenburg"),
    ]
    found = claims.values(claim(), records)
    assert found.seed.tolist() == [0, 1]  # seed 2 has no partner
    assert found.value.tolist() == pytest.approx([-10, -5])
    assert found["n_eff/B"].tolist() == pytest.approx([0.75, 0.75])  # 4 / (1/96 + 1/32) of 128
    judged = claims.judge_values({"C3.3": found})
    assert judged["n_eff/B"].tolist() == pytest.approx([0.75])
    with pytest.raises(ValueError, match="two records of single"):
        claims.values(claim(), [*records, run("single", 0)])


def test_times_by_hand() -> None:
    """A fast replica computes 1 s and waits 3 s of each of two steps an epoch.

    The first epoch is left out.
    """
    slow = run("equal", 0, step=4.0, wait=3.0)
    slow.steps["compute"][0] = [99.0, 99.0]
    quick = run("balanced", 0, step=2.0, wait=0.5)
    assert claims.timed(slow) == {"step": 4.0, "epoch": 8.0, "idle": 0.75}

    def value(quantity: str, *strategies: str) -> float:
        about = claim(quantity=quantity, strategies=list(strategies))
        return claims.values(about, [slow, quick]).value.item()

    assert value("speedup", "balanced", "equal") == pytest.approx(2.0)
    # The fast one did 96 samples in 1 s, the slow one 32 in 2 s: 112 a second together, so 128 in
    # 8/7 s; with equal shares the slow one took 4 s.
    assert claims.measured_ideal(slow, quick) == pytest.approx(3.5)
    assert value("part of ideal speedup", "balanced", "equal") == pytest.approx(2.0 / 3.5)
    assert value("excess time", "balanced", "equal") == pytest.approx(-0.5)
    assert value("idle", "equal") == 0.75

    first = slow.epochs[0] | {"epoch": 1}
    with pytest.raises(ValueError, match="a timed run needs 2"):
        claims.timed(dataclasses.replace(slow, epochs=[first]))
