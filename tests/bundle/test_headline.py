"""The main result in words: each number is of the table, and what is missing is said."""

from pathlib import Path

import pandas as pd
import pytest

from hetlib_bundle import paths
from hetlib_bundle.studies import headline

# Of independent draws: shares, n_eff / B, whether they are worth their slow device, effect, theory.
DRAWN = (("107/21", 0.55, True, -0.4, -0.5), ("90/26/9/3", 0.25, False, -4.2, -2.0))

# What shards of a kind add to the effect.
MORE = {"iid": 0.0, "random": -0.5, "class": -2.0}


def made(steps: int = 200, spread: float = 0.5) -> pd.DataFrame:
    rows = []
    for sampling, more in MORE.items():
        for shares, ratio, planned, effect, theory in DRAWN:
            rows.append(
                {
                    "recipe": "made",
                    "role": "own",
                    "sampling": sampling,
                    "shares": shares,
                    "ratio": ratio,
                    "steps": steps,
                    "effect": effect + more,
                    "low": effect + more - spread,
                    "high": effect + more + spread,
                    "theory": theory,
                    "planned": planned,
                    "at chance": 0,
                }
            )
    return pd.DataFrame(rows)


def told(table: pd.DataFrame) -> list[str]:
    return headline.sentences(headline.Headline(table, "made", "about", missing=0))


def test_the_words_have_the_numbers_of_the_table() -> None:
    shares, shards = told(made())
    near, apart = shares.split("With those where a slow device is better left out")
    assert "in 1 of 1 cells, further apart in 0, and the interval does not tell in 0" in near
    assert "in 0 of 1 cells, further apart in 1, and the interval does not tell in 0" in apart
    assert "-4.2 points (made, 90/26/9/3, 200 steps; -4.7 to -3.7)" in shares
    assert "random shards 0.5 points on average" in shards
    assert "class shards 2.0 points on average" in shards


def test_a_mean_that_is_near_is_no_interval_that_is() -> None:
    shares, _ = told(made(spread=5.0))
    assert shares.count("the interval does not tell in 1") == 2


def test_the_longest_training_of_each_speaks_for_shards() -> None:
    short = made(50).assign(effect=9.0)
    both = pd.concat([short, made(200)], ignore_index=True)
    known = headline.Headline(both, "made", "about", missing=3)
    *_, shards, missing = headline.sentences(known)
    assert "class shards 2.0 points on average" in shards
    assert missing.startswith("3 cells of the design are not recorded yet")


def test_a_cell_with_a_run_at_chance_is_left_out_and_said() -> None:
    table = made()
    collapsed = (table.sampling == "iid") & table.planned
    table.loc[collapsed, ["effect", "at chance"]] = [-50.0, 1]
    more = pd.concat([table, made(50)], ignore_index=True)
    sentences = told(more)
    assert "-50" not in " ".join(sentences)
    assert sentences[-1].startswith("1 of 12 cells have a run that is at chance")


def test_without_records_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "RECORDED", tmp_path)
    assert headline.recorded() is None
    assert headline.sentences(None) == [headline.MISSING]


def test_the_records_of_the_clone_have_a_map() -> None:
    known = headline.recorded()
    assert known is not None
    assert known.recipe in set(known.table.recipe)
    assert all(sentence for sentence in headline.sentences(known))
