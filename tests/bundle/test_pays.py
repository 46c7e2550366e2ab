"""Where a second device pays: what times come to, and one small sitting of real processes."""

import math

import pandas as pd
import pytest

from hetlib_bundle.figures.pays import measured_figure
from hetlib_bundle.studies import pays

CELL = pays.Cell(model="smallcnn", ratio=2, global_batch=16, steps=2)


def measured(sitting: str, plan: list[float], alone: list[float]) -> pd.DataFrame:
    """Return the times of one cell, of which equal shares take a second."""
    rows = []
    about = {"dataset": "wake", "model": "smallcnn", "setting": CELL.setting}
    about |= {"ratio": 2.0, "batch": 16, "sitting": sitting, "busy": 3.0}
    for turn, (own, other) in enumerate(zip(plan, alone, strict=True)):
        steps = {"plan": own, "all replicas": 2 * own, "fastest-only": other, "equal": 1.0}
        for split, step in steps.items():
            shares = "11/5" if split == "plan" else "8/8"
            rows.append({**about, "split": split, "shares": shares, "turn": turn, "step": step})
    return pd.DataFrame(rows)


def test_ratios_are_those_of_a_turn_and_their_median_is_the_sitting() -> None:
    """From turn to turn the machine became slower, for both splits alike; their medians agree."""
    found = pays.speedups(measured("a", [0.5, 0.9, 1.5], [0.65, 0.9, 1.65])).iloc[0]
    assert found["speedup over fastest"] == pytest.approx(1.1)  # of 1.3, 1.0 and 1.1
    assert found["all replicas over fastest"] == pytest.approx(0.55)
    assert found["speedup over equal"] == pytest.approx(1 / 0.9)
    assert (found["shares"], found["setting"]) == ("11/5", "1:2, batch 16")


def test_the_interval_is_over_sittings() -> None:
    one = measured("a", [0.5, 0.5], [0.5, 0.5])
    two = measured("b", [0.5, 0.5], [0.6, 0.6])
    alone = pays.over_sittings(pays.speedups(one)).iloc[0]
    assert alone["speedup over fastest ±"] == math.inf
    both = pays.over_sittings(pays.speedups(pd.concat([one, two]))).iloc[0]
    assert both.sittings == 2
    assert both["speedup over fastest"] == pytest.approx(1.1)
    assert both["speedup over fastest ±"] == pytest.approx(12.706 * 0.1, rel=1e-3)


def test_a_sitting_times_each_split_once_a_turn() -> None:
    found = pays.sitting([CELL], "wake", turns=2, seconds=0.5)
    assert found.groupby("split").turn.apply(list).map(sorted).to_dict() == {
        "plan": [0, 1],
        "all replicas": [0, 1],
        "fastest-only": [0, 1],
        "equal": [0, 1],
    }
    shares = found.drop_duplicates("split").set_index("split").shares
    assert shares[["equal", "fastest-only"]].tolist() == ["8/8", "16/0"]
    assert "0" not in shares["all replicas"].split("/")
    assert (found.step > 0).all()
    if shares["plan"] == "16/0":  # the same split is one run
        by = found.pivot_table("step", "turn", "split")
        assert (by["plan"] == by["fastest-only"]).all()


def test_plans_that_differ_in_who_takes_part_are_mixed() -> None:
    found = pays.speedups(pd.concat([measured(name, [0.5], [0.6]) for name in "abc"]))
    assert pays.over_sittings(found).shares.tolist() == ["11/5"]
    alone = found.assign(shares="16/0")
    assert pays.over_sittings(alone).shares.tolist() == ["16/0"]
    both = pd.concat([found.iloc[:1], alone.iloc[1:]])
    assert pays.over_sittings(both).shares.tolist() == ["mixed"]
    assert pays.leaves_out(both.shares).tolist() == [False, True, True]


def test_the_figure_has_a_panel_a_batch_and_shows_each_cell() -> None:
    frames = [measured(name, [0.5, 0.5], [0.6, 0.6]) for name in "abc"]
    cells = pays.over_sittings(pays.speedups(pd.concat(frames)))
    slower = cells.assign(ratio=4.0, batch=64)
    panels = measured_figure(pd.concat([cells, slower])).axes
    assert [axes.get_title() for axes in panels] == ["Global batch 16", "Global batch 64"]
    for axes, place in zip(panels, (0, 1), strict=True):
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1:2", "1:4"]
        marks = [line for line in axes.lines if line.get_marker() == "o"]
        drawn = [(line.get_xdata()[0], line.get_ydata()[0]) for line in marks]
        assert drawn == [(place - 0.25, pytest.approx(1.2)), (place + 0.25, pytest.approx(0.6))]
