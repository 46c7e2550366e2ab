"""What the primary claims read: one value a seed, of the cells that were chosen with the claims."""

import math

import pandas as pd
import pytest

from hetlib_bundle import claims
from hetlib_bundle.studies.many import judged

LENGTHS = (50, 200, 800)


def run(kind: str, sampling: str, shares: str, steps: int, seed: int, oa: float) -> dict:
    return {
        "recipe": "made",
        "kind": kind,
        "sampling": sampling,
        "shares": shares,
        "ratio": 0.5,
        "n_eff": 64.0,
        "steps": steps,
        "edge": False,
        "role": "own",
        "rate": 0.1,
        "seed": seed,
        "oa": oa,
        "aa": oa,
        "worst": oa,
        "mark": "",
    }


@pytest.fixture
def runs() -> pd.DataFrame:
    """One process gains 4 points by each doubling; the plain mean needs twice as many steps."""
    rows = []
    for seed in range(8):
        for steps in LENGTHS:
            oa = 50 + 4 * math.log2(steps / 50) + seed / 10
            rows.append(run("single", "iid", "128", steps, seed, oa))
            for shares in (judged.PLANNED, judged.WORST, "80/48"):
                rows.append(run("plain", "iid", shares, steps, seed, oa - 4))
                rows.append(run("small", "iid", shares, steps, seed, oa - 4 + 0.1 * (seed % 2)))
                for sampling in ("random", "class"):
                    loss = {"random": 2.0, "class": 3.0}[sampling] + 0.1 * (seed % 2)
                    rows.append(run("plain", sampling, shares, steps, seed, oa - loss))
                    rows.append(run("balanced", sampling, shares, steps, seed, oa))
    return pd.DataFrame(rows)


def word(name: str, rows: pd.DataFrame) -> str:
    claim = claims.load()[name]
    cells = claims.judge(claim, claims.column_values(claim, rows))
    return claims.word_of_claim(claim, cells)


def test_the_plain_mean_is_compared_with_its_effective_batch(runs: pd.DataFrame) -> None:
    found = judged.effective_batch(runs)
    assert set(found.setting) == {
        "107/21, 200 steps",
        "107/21, 800 steps",
        "90/26/9/3, 200 steps",
        "90/26/9/3, 800 steps",
    }
    assert found["OA - OA of n_eff"].abs().max() == pytest.approx(0.1)
    assert len(found) == 4 * 8
    assert word("P2", found) == "supported"


def test_twice_the_steps_are_the_log_of_two(runs: pd.DataFrame) -> None:
    found = judged.to_target(runs)
    assert set(found.setting) == {judged.PLANNED}
    assert found.reached.all()
    assert found["log ratio"].tolist() == pytest.approx([math.log(2)] * 8)
    assert word("P3", found) == "supported"


def test_a_target_that_is_never_reached_counts_as_the_longest_length(runs: pd.DataFrame) -> None:
    plain = (runs.kind == "plain") & (runs.sampling == "iid")
    runs.loc[plain, "oa"] = 20.0
    found = judged.to_target(runs)
    assert not found.reached.any()
    needed = 200 * 2 ** (-1 / 4)  # a point below what 200 steps reach
    assert found["log ratio"].tolist() == pytest.approx([math.log(800 / needed)] * 8)


def test_the_longest_trainings_of_the_worst_shares_say_what_lasts(runs: pd.DataFrame) -> None:
    found = judged.lasting(runs)
    by = found.groupby("setting")["OA - balanced"].mean()
    assert by.to_dict() == pytest.approx({"class shards": -3.05, "random shards": -2.05})
    assert word("P4", found) == "supported"
    assert judged.lasting(runs[runs.steps < 0]).empty


def test_own_rates_are_compared_at_the_longest_length(runs: pd.DataFrame) -> None:
    found = judged.own_rate(runs)
    assert set(found.setting) == {judged.PLANNED, judged.WORST}
    assert found["OA - single"].tolist() == pytest.approx([-4.0] * 16)
    assert word("P5", found) == "not supported"


@pytest.mark.parametrize(
    ("kind", "column", "value", "expected"),
    [
        ("plain", "edge", True, "underpowered"),
        ("single", "edge", True, "underpowered"),
        ("single", "mark", judged.AT_CHANCE, "underpowered"),
        ("plain", "mark", judged.AT_CHANCE, "not supported"),  # which is what is asked
    ],
)
def test_an_edge_or_a_reference_that_guesses_leaves_it_open(
    runs: pd.DataFrame, kind: str, column: str, value: object, expected: str
) -> None:
    runs.loc[(runs.kind == kind) & (runs.seed == 3), column] = value
    assert word("P5", judged.own_rate(runs)) == expected
