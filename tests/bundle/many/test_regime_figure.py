"""The map and its neighbours draw what the tables hold, and the same each time."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from hetlib_bundle import paths
from hetlib_bundle.figures.losses import lasting_figure, small_batch_figure
from hetlib_bundle.figures.regime import CHANCE_COLOUR, recipes_figure, regime_figure
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


def colours_at_chance(axes: Axes) -> int:
    grey = to_rgba(CHANCE_COLOUR)
    return sum(patch.get_facecolor() == grey for patch in axes.patches)


def test_cells_at_chance_are_grey_and_shares_stand_beside_the_rows(table: pd.DataFrame) -> None:
    own, reference = regime_figure(table, "made").axes[0:4:3]
    assert colours_at_chance(own) == 0
    assert colours_at_chance(reference) == len(RATIOS)  # at 50 steps
    coloured = reference.collections[0].get_array()
    assert np.ma.masked_invalid(coloured).count() == 2 * len(RATIOS)
    names = [label.get_text() for label in own.get_yticklabels()]
    assert names == ["90/26/9/3  0.25", "118/10  0.29", "107/21  0.55"]


def test_a_difference_that_may_be_none_has_no_number_but_its_mark(table: pd.DataFrame) -> None:
    unsure = table.assign(low=-30.0, high=30.0)
    own, reference = regime_figure(unsure, "made").axes[0:4:3]
    assert not own.texts
    assert [text.get_text() for text in reference.texts] == ["†"] * len(RATIOS)


def test_the_lines_run_between_cells(table: pd.DataFrame) -> None:
    """The theory is -100 / steps / ratio: at 50 steps -3.6 and below, at 200 -0.9, -1.7, -2."""
    panel = regime_figure(table, "made").axes[0]
    dotted, solid = panel.lines[-1], panel.lines[0]
    assert (solid.get_linestyle(), dotted.get_linestyle()) == ("-", ":")
    x, y = solid.get_data()
    assert {float(value) for value in x if value == value} == {0.5}
    assert len(x) == 3 * len(RATIOS)  # all of the first column, and none beside it
    x, y = dotted.get_data()
    edges = {(a, b) for a, b in zip(x, y, strict=True) if a == a}
    assert (0.5, 2.5) in edges  # above, the border lies behind 50 steps
    assert (1.5, -0.5) in edges  # below, behind 200


def test_the_maps_of_all_recipes(table: pd.DataFrame) -> None:
    both = pd.concat([table, table.assign(recipe="other")])
    *panels, _ = recipes_figure(both).axes
    assert len(panels) == 6
    assert panels[3].get_ylabel().startswith("other")


def test_a_map_of_one_length_and_without_theory(table: pd.DataFrame) -> None:
    part = table[table.steps == 50]
    assert regime_figure(part, "made")
    assert regime_figure(table.assign(theory=float("nan")), "made")
    with pytest.raises(ValueError, match="`recipe` is 'other'; the table has \\['made'\\]"):
        regime_figure(table, "other")


def curves(losses: dict[str, float]) -> pd.DataFrame:
    """Runs of one process, and of others that lose so many points at every length."""
    rows = []
    for kind, loss in losses.items():
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
                        "oa": 60 + 5 * seed + steps / 100 - loss * (1 + seed / 10),
                        "n_eff": 70.0,
                        "edge": False,
                        "mark": "at chance" if (kind, steps) == ("small", 800) else "",
                        "seed": seed,
                    }
                )
    return pd.DataFrame(rows)


def test_curves_are_of_differences_paired_by_seed() -> None:
    runs = curves({"single": 0.0, "plain": 1.0, "small": 2.0})
    figure = small_batch_figure(runs, ["107/21"])
    plain, small = figure.axes[0].containers
    assert list(plain.lines[0].get_ydata()) == pytest.approx([-1.1] * 3)
    assert list(small.lines[0].get_ydata()) == pytest.approx([-2.2] * 3)
    (mark,) = figure.axes[0].texts
    assert mark.xy == pytest.approx((800, -2.2), rel=0.1)  # beside the other one's bar
    assert len(figure.legends[0].get_texts()) == 2


def test_what_lasts() -> None:
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
            "at chance": [0, 1, 0],
        }
    )
    figure = lasting_figure(found, 200, "107/21")
    drawn = [bar.lines[0].get_xdata().tolist() for bar in figure.axes[0].containers]
    assert drawn == [[-1.0, -4.0], [-3.0]]
    (mark,) = figure.axes[0].texts
    assert mark.xy[0] == -3.0
