"""The report's rows as text, and verdicts outside the register."""

import math
from pathlib import Path

import pandas as pd

from hetlib_bundle.claims import summary
from tests.bundle.claims.made import TABLE


def test_numbers_have_three_digits_whatever_their_size() -> None:
    rows = summary.rows(TABLE)
    assert [row["effect"] for row in rows] == [
        "0.712 (0.69 to 0.73)",
        "1.3e-15 (1.2e-15 to 1.4e-15)",
        "",
    ]
    assert [row["test"] for row in rows] == [
        "above 0.25",
        "below 1e-12",
        "within ±1",
    ]


def test_a_value_alone_has_no_interval_and_a_plain_mean_says_what_it_is_worth() -> None:
    infinite = TABLE.assign(low=-math.inf, high=math.inf)
    row = summary.rows(infinite.assign(**{"n_eff/B": [0.25, 1.0, math.nan]}))[0]
    assert row["effect"] == "0.712 (a single value has no interval)"
    assert row["unit"].endswith("; n_eff/B 0.25")
    whole = summary.rows(infinite.assign(**{"n_eff/B": 1.0}))[0]
    assert "n_eff" not in whole["unit"]


def test_a_logarithm_is_shown_as_a_factor_too() -> None:
    numbers = {"effect": math.log(1.1), "low": 0.0, "high": math.log(1.3)}
    logs = TABLE.assign(unit="log of the ratio of steps", **numbers)
    row, *_, missing = summary.rows(logs)
    assert row["unit"].endswith("; as a factor 1.10 (1.00 to 1.30)")
    assert missing["unit"] == "log of the ratio of steps"


def test_the_numbers_of_checks_are_no_interval() -> None:
    checks = TABLE.assign(role="check")
    assert "(lowest to highest)" in summary.markdown(checks).splitlines()[0]
    assert "(95 % interval)" in summary.markdown(TABLE).splitlines()[0]


def test_the_table_links_notebooks_and_says_what_is_missing() -> None:
    last = summary.markdown(TABLE).splitlines()[-1]
    assert "[07_accuracy](07_accuracy.ipynb)" in last
    assert "**not run** (no table 07_verdicts: hetlib reproduce --profile quick --only 07)" in last


def test_each_part_of_the_report_is_counted_in_its_own_words() -> None:
    counted = "Descriptive statements (3): 1 supported, 1 not supported, 1 not run."
    assert summary.summary(TABLE) == counted
    checks = TABLE.assign(role="check", verdict=["identical", "holds", "broken"])
    both = pd.concat([checks, TABLE.assign(role="primary")])
    assert summary.summary(both) == (
        "Primary claims (3): 1 supported, 1 not supported, 1 not run. "
        "Checks (3): 1 identical, 1 holds, 1 broken."
    )


def test_other_load_is_read_where_it_is_known(tmp_path: Path) -> None:
    path = tmp_path / "09_verdicts.csv"
    assert summary.other_load(tmp_path) is None
    pd.DataFrame({"claim": ["C1.1"]}).to_csv(path)
    assert summary.other_load(tmp_path) is None
    pd.DataFrame({"other load (%)": [12, 12]}).to_csv(path)
    assert summary.other_load(tmp_path) == 12


def test_verdicts_of_other_notebooks_are_listed(tmp_path: Path) -> None:
    assert len(summary.others(tmp_path)) == 0
    row = {
        "claim": "modelled",
        "margin": 0.8,
        "word": "supported",
        "effect": 0.9,
        "low": 0.85,
        "high": 0.95,
    }
    pd.DataFrame([row]).to_csv(tmp_path / "10_verdict.csv", index=False)
    found = summary.others(tmp_path)
    shown = found.loc[0, ["notebook", "claim", "verdict"]]
    assert shown.tolist() == ["10", "modelled", "supported"]
