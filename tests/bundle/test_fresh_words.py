"""Sentences on fresh seeds: each number is of the runs."""

import pandas as pd
import pytest

from hetlib_bundle.studies import fresh_words
from hetlib_bundle.studies.many.fresh import PLANNED, WORST
from hetlib_bundle.studies.many.fresh_tables import CONTROL
from hetlib_bundle.studies.many.tables import slashed

LENGTHS = (50, 100, 200, 400, 800)


def run(kind: str, shares: str, steps: int, oa: float, **changes: object) -> dict[str, object]:
    fixed = {"recipe": "made", "sampling": "iid", "n_eff": 32.0, "edge": False, "role": "own"}
    made = {"kind": kind, "shares": shares, "steps": steps, "oa": oa, "mark": "", "rate": 0.1}
    return {**fixed, **made, **changes}


@pytest.fixture
def runs() -> pd.DataFrame:
    """One process gains a point by each doubling; the plain mean needs twice as many steps."""
    planned, worst = slashed(PLANNED), slashed(WORST)
    rows = []
    for seed in range(4):
        for place, steps in enumerate(LENGTHS):
            oa = 70.0 + place
            rows.append(run("single", "128", steps, oa, seed=seed))
            rows.append(run("plain", planned, steps, oa - 1, seed=seed))
        for shares, loss in ((planned, 1.0), (worst, 3.0)):
            for steps in (200, 800):
                rows.append(run("small", shares, steps, 70 - loss, seed=seed))
                control = run("plain", shares, steps, 70.2 - loss, seed=seed, role=CONTROL)
                rows.append(control)
        rows.append(run("plain", worst, 800, 71.0, seed=seed))
        for kind, oa in (("plain", 69.5), ("balanced", 74.0)):
            rows.append(run(kind, worst, 800, oa, seed=seed, sampling="random"))
    return pd.DataFrame(rows)


def test_the_words_have_the_numbers_of_the_runs(runs: pd.DataFrame) -> None:
    noise, time, shards, long = fresh_words.sentences(runs)
    assert "by +0.2 to +0.2 points in 4 cells" in noise
    assert "below 0 in none of 4 cells and above 0 in 4" in noise
    assert "needs 2.00 to 2.00 times the steps" in time
    assert "B / n_eff is 1.82" in time
    assert "ends 4.5 to 4.5 points below" in shards
    assert "after 800 steps" in shards
    assert "1 of 1 data sets with 107/21 (means -1.0 to -1.0)" in long
    assert "0 of 1 data sets with 90/26/9/3 (means -3.0 to -3.0)" in long


def test_sameness_is_said_only_where_every_interval_holds_zero(runs: pd.DataFrame) -> None:
    control = runs.role == CONTROL
    level = runs.oa.where(~control, runs.oa - 0.2)
    spread = runs.seed.map({0: -0.5, 1: 0.5, 2: -0.5, 3: 0.5}).where(control, 0.0)
    noise, *_ = fresh_words.sentences(runs.assign(oa=level + spread))
    assert "No interval leaves out 0." in noise
    assert "not exactly" not in noise
