"""Marks of runs that learnt nothing, classical floors, and times to an accuracy."""

import math

import pandas as pd
import pytest

from hetlib.datasets import load_dataset
from hetlib.training.records import RunRecord
from hetlib_bundle.studies import floors, to_accuracy
from hetlib_bundle.studies.accuracy import effective_batch
from tests.bundle.claims.made import run

TESTED = 100  # windows of each of two classes


def scored(oa: float) -> RunRecord:
    """Return a run that got so many of each class right."""
    right = round(oa * TESTED)
    record = run("single", 0, oa)
    wrong = TESTED - right
    record.confusion[:] = [[right, wrong], [wrong, right]]
    return record


def test_a_run_at_chance_or_below_the_floor_is_marked() -> None:
    known = {"wake": {"forest": 80.0, "logistic": 70.0}}
    assert floors.mark(scored(0.50), known) == "at chance"
    assert floors.mark(scored(0.75), known) == "below the floor"
    assert floors.mark(scored(0.85), known) == ""
    assert floors.mark(scored(0.75)) == ""  # nobody knows a floor
    runs = [scored(0.5), scored(0.75), scored(0.75), scored(0.9)]
    assert floors.counted(runs, known) == {"at chance": 1, "below the floor": 2}


def test_floors_are_of_the_windows_that_a_network_gets() -> None:
    options = {"per_class": 40, "window": 4}
    found = floors.table({"mine": ("wake", options)})
    (row,) = found.to_dict("records")
    assert row["dataset"] == "mine"
    assert row["tested"] == len(load_dataset("wake", "test", **options))
    assert row["chance"] < row["logistic"] < 100
    assert row["chance"] < row["forest"] < 100
    assert "random forest" in floors.told(found)
    pd.testing.assert_frame_equal(found, floors.table({"mine": ("wake", options)}))


def test_what_a_gradient_is_worth() -> None:
    shares = [90, 26, 9, 3]
    slowdowns = [1.0, 3.3, 10.0, 30.0]
    worth = {
        name: effective_batch(name, shares, slowdowns)
        for name in ("single", "equal", "balanced", "uneven-plain", "speed-weighted")
    }
    assert worth["single"] == worth["equal"] == 128
    assert worth["balanced"] == pytest.approx(128)
    assert worth["uneven-plain"] == pytest.approx(32.4, abs=0.1)
    assert 127 < worth["speed-weighted"] < 128


def trained() -> pd.DataFrame:
    """Return runs of one process and of a plain mean that needs twice its steps."""
    rows = []
    for seed in (0, 1):
        for step, score in ((50, 60.0), (100, 70.0), (200, 80.0)):
            common = {"recipe": "made", "seed": seed, "role": "own", "sampling": "iid"}
            common |= {"steps": step, "ratio": 0.25, "shares": "90/26/9/3"}
            rows.append({**common, "kind": "single", "oa": score})
            rows.append({**common, "kind": "plain", "oa": score - 10.0})
    return pd.DataFrame(rows)


def test_time_to_a_target_is_steps_times_the_clock() -> None:
    (needed,) = to_accuracy.steps_needed(trained(), (90, 26, 9, 3))
    assert needed.never == 0
    assert needed.plain == pytest.approx(2 * needed.single)
    clock = seen({"equal": 40.0, "uneven-plain": 20.0, "balanced": 20.0, "fastest-only": 16.0})
    shares = dict.fromkeys(clock, "some")
    table = to_accuracy.time_table([needed], clock, shares).set_index("strategy")
    over = table["over equal (computed)"]
    assert over["equal"] == 1
    assert over["uneven-plain"] == pytest.approx(1.0)  # all of the gain is given back
    assert over["balanced"] == pytest.approx(0.5)
    assert over["fastest-only"] == pytest.approx(0.4)
    told = to_accuracy.told(table.reset_index(), [needed])
    assert "balanced 0.50 (0.50 to 0.50), plain mean 1.00 (1.00 to 1.00), fast device" in told


def seen(milliseconds: dict[str, float], half: float = 0.0) -> dict[str, to_accuracy.Clock]:
    return {name: to_accuracy.Clock(each, half) for name, each in milliseconds.items()}


def test_the_interval_of_a_time_is_that_of_its_steps_and_of_its_clock() -> None:
    (needed,) = to_accuracy.steps_needed(trained(), (90, 26, 9, 3))
    needed = needed._replace(half=0.3)
    clock = seen(dict.fromkeys(("equal", "uneven-plain", "balanced"), 20.0), half=0.4)
    table = to_accuracy.time_table([needed], clock, dict.fromkeys(clock, "some"))
    rows = table.set_index("strategy")
    assert rows.high["uneven-plain"] == pytest.approx(2 * math.exp(0.5))
    assert rows.low["uneven-plain"] == pytest.approx(2 * math.exp(-0.5))
    assert rows.high["balanced"] == pytest.approx(math.exp(0.4))


def test_the_clock_pairs_steps_by_repeat() -> None:
    names = ["strategy", "seed"]
    pairs = [("equal", 0), ("equal", 1), ("balanced", 0), ("balanced", 1)]
    steps = pd.Series([0.04, 0.08, 0.02, 0.04], pd.MultiIndex.from_tuples(pairs, names=names))
    found = to_accuracy.clocks(steps)
    assert found["balanced"].milliseconds == pytest.approx(30)
    assert found["balanced"].half == pytest.approx(0)  # twice as fast in both
    assert found["equal"].half == 0


def test_the_interval_over_seeds_is_of_the_paired_ratio() -> None:
    runs = trained()
    (same,) = to_accuracy.steps_needed(runs, (90, 26, 9, 3))
    assert same.half == pytest.approx(0)
    worse = (runs.kind == "plain") & (runs.seed == 1)
    runs.loc[worse, "oa"] -= 5.0
    (apart,) = to_accuracy.steps_needed(runs, (90, 26, 9, 3))
    assert apart.half > 0.2


def test_a_target_never_reached_is_a_lower_bound() -> None:
    runs = trained()
    plain = runs.kind == "plain"
    runs.loc[plain, "oa"] = 10.0
    (needed,) = to_accuracy.steps_needed(runs, (90, 26, 9, 3))
    assert needed.never == needed.seeds == 2
    assert math.isclose(needed.plain, 200)
    clock = seen(dict.fromkeys(("equal", "uneven-plain", "balanced", "fastest-only"), 1.0))
    table = to_accuracy.time_table([needed], clock, dict.fromkeys(clock, "some"))
    assert "2 of 2 seeds never: a lower bound" in to_accuracy.told(table, [needed])


def test_a_recipe_without_the_longest_training_has_no_time() -> None:
    other = trained().assign(recipe="other")
    both = pd.concat([trained(), other[other.steps < 200]])
    assert [each.recipe for each in to_accuracy.steps_needed(both, (118, 10))] == ["made"]
    assert "no time to accuracy" in to_accuracy.told(to_accuracy.time_table([], {}, {}), [])
