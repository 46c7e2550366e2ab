"""The map and its neighbours draw what the tables hold, and the same each time."""

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hetlib_bundle import paths
from hetlib_bundle.figures.regime import lasting_figure, regime_figure, small_batch_figure
from hetlib_bundle.kept import products
from hetlib_bundle.kept.keeper import keeper

STEPS = (50, 200, 800)
RATIOS = {"107/21": 0.55, "118/10": 0.29, "90/26/9/3": 0.25}


@pytest.fixture
def table() -> pd.DataFrame:
    rows = []
    for role in ("own", "reference"):
        for number, sampling in enumerate(("iid", "random", "class")):
            for shares, ratio in RATIOS.items():
                for steps in STEPS:
                    effect = -(number + 1) * 100 / steps / ratio
                    rows.append(
                        {
                            "recipe": "made",
                            "role": role,
                            "sampling": sampling,
                            "shares": shares,
                            "ratio": ratio,
                            "steps": steps,
                            "effect": effect,
                            "low": effect - 1,
                            "high": effect + 1,
                            "theory": -100 / steps / ratio,
                            "planned": ratio > 0.5,
                            "at chance": int(role == "reference" and steps == 50),
                        }
                    )
    return pd.DataFrame(rows)


def saved_twice(
    make: Figure, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[bytes]:
    keep = keeper("00", "quick", "computed")
    found = []
    for part in ("a", "b"):
        monkeypatch.setattr(paths, "RESULTS", folder / part)
        products.save_figure(make, name, caption="Some.", keep=keep)
        (path,) = (folder / part).rglob(f"{name}.png")
        found.append(path.read_bytes())
    return found


def hatched(axes: Axes) -> int:
    return sum(patch.get_hatch() is not None for patch in axes.patches)


def test_the_map(table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = regime_figure(table, "made")
    *panels, bar = figure.axes
    assert len(panels) == 6
    assert [axes.get_title() for axes in panels[:3]] == [
        "i.i.d. draws",
        "random shards",
        "class shards",
    ]
    for axes in panels:
        assert hatched(axes) == 2 * len(STEPS)  # of two of three shares
        assert axes.collections[0].get_array().size == len(STEPS) * len(RATIOS)
    written = {text.get_text() for text in panels[0].texts}
    assert "-8" in written  # -100 / 50 / 0.25
    dagger = {text.get_text() for text in panels[3].texts if "†" in text.get_text()}
    assert dagger == {"-4†", "-7†", "-8†"}
    assert not any("†" in text for text in written)
    assert "points" in bar.get_ylabel()
    once, again = saved_twice(figure, "00_map", tmp_path, monkeypatch)
    assert once == again


def test_a_difference_that_may_be_none_has_no_number(table: pd.DataFrame) -> None:
    unsure = table.assign(low=-30.0, high=30.0)
    figure = regime_figure(unsure, "made")
    assert not any(axes.texts for axes in figure.axes)


def test_a_map_of_one_length_and_without_theory(table: pd.DataFrame) -> None:
    part = table[table.steps == 50]
    assert regime_figure(part, "made")
    assert regime_figure(table.assign(theory=float("nan")), "made")
    with pytest.raises(ValueError, match="`recipe` is 'other'; the table has \\['made'\\]"):
        regime_figure(table, "other")


def test_curves_and_what_lasts() -> None:
    rows = []
    for kind in ("single", "small", "plain"):
        for steps in STEPS:
            for seed in range(3):
                rows.append(
                    {
                        "recipe": "made",
                        "role": "own",
                        "sampling": "iid",
                        "kind": kind,
                        "shares": "128" if kind == "single" else "107/21",
                        "steps": steps,
                        "oa": 60 + seed + steps / 100,
                    }
                )
    figure = small_batch_figure(pd.DataFrame(rows), ["107/21"])
    means = figure.axes[0].containers[0].lines[0].get_ydata()
    assert list(means) == pytest.approx([61.5, 63.0, 69.0])
    assert len(figure.legends[0].get_texts()) == 3

    found = pd.DataFrame(
        {
            "recipe": "made",
            "steps": 200,
            "shares": "107/21",
            "sampling": ["random", "class", "class"],
            "beside": ["balanced", "balanced", "random"],
            "effect": [-1.0, -4.0, -3.0],
            "low": [-2.0, -5.0, -4.0],
            "high": [0.0, -3.0, -2.0],
        }
    )
    figure = lasting_figure(found, 200, "107/21")
    drawn = [bar.lines[0].get_xdata().tolist() for bar in figure.axes[0].containers]
    assert drawn == [[-1.0, -4.0], [-3.0]]
