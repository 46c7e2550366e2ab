"""The map of regimes: what the plain mean loses, over the length of the training and n_eff / B."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hetlib_bundle.figures.pieces import plain_numbers
from hetlib_bundle.figures.style import (
    BLACK,
    BLUE,
    GREY,
    STYLES,
    VERMILION,
    Look,
    ieee_style,
    new_figure,
)

# Panels, from left to right and from top to bottom.
COLUMNS = {"iid": "i.i.d. draws", "random": "random shards", "class": "class shards"}
ROWS = {"own": "own rate", "reference": "one process's rate"}

# Of the colours, in percentage points; what is beyond has the last colour.
DEEPEST = -10.0
HIGHEST = 0.0

# Losses at which the theory's lines lie, percentage points, and how they are drawn.
LEVELS = {-3.0: "-", -1.0: ":"}

# Shares that no planner would make.
HATCHED: Look = {"fill": False, "hatch": "////", "edgecolor": GREY, "linewidth": 0}

# Behind the number of a cell where a run is not better than a guess.
AT_CHANCE = "†"

# Points from which on a number in a cell is written in white.
DARK = 6.0


def regime_figure(table: pd.DataFrame, recipe: str) -> Figure:
    """Draw the map of one recipe.

    A cell is the mean over seeds, with its number where the 95 % interval does not hold 0, and a
    dagger where a run of it is not better than a guess. Hatched are shares that no planner would
    make; white is not recorded. Above a line one process whose batch is n_eff loses less than so
    many points: the theory.

    Args:
        table: From `.studies.many.regime.regime_table`.
        recipe: Which one of it.

    Raises:
        ValueError: The table has nothing of this recipe.
    """
    found = table[table.recipe == recipe]
    if found.empty:
        raise ValueError(f"`recipe` is {recipe!r}; the table has {sorted(set(table.recipe))}.")
    steps = sorted(found.steps.unique())
    ratios = sorted(found.ratio.unique())
    columns = [sampling for sampling in COLUMNS if (found.sampling == sampling).any()]
    with ieee_style(2):
        figure = new_figure(3.6)
        panels = figure.subplots(len(ROWS), len(columns), squeeze=False, sharex=True, sharey=True)
        for line, role in zip(panels, ROWS, strict=True):
            for axes, sampling in zip(line, columns, strict=True):
                part = found[(found.role == role) & (found.sampling == sampling)]
                _draw_panel(axes, part, steps, ratios)
        _name_panels(panels, columns, steps, ratios)
        label = "OA of the plain mean minus that of one process (points)"
        mesh = panels[0, 0].collections[0]  # all have the same colours
        figure.colorbar(mesh, ax=panels, label=label, extend="both", pad=0.01)
        return figure


def _draw_panel(
    axes: Axes, part: pd.DataFrame, steps: Sequence[int], ratios: Sequence[float]
) -> None:
    """Draw one map: colours, numbers, hatches and the theory's lines."""
    effect = _grid(part, "effect", steps, ratios)
    axes.pcolormesh(
        np.arange(len(steps)),
        np.arange(len(ratios)),
        effect,
        cmap="OrRd_r",
        norm=Normalize(DEEPEST, HIGHEST),
        edgecolors="white",
        linewidth=0.4,
    )
    for row in part.to_dict("records"):
        x = steps.index(row["steps"])
        y = ratios.index(row["ratio"])
        if not row["low"] <= 0 <= row["high"]:
            color = "white" if abs(row["effect"]) > DARK else BLACK
            text = _rounded(row["effect"]) + AT_CHANCE * bool(row["at chance"])
            axes.text(x, y, text, ha="center", va="center", color=color, size=7)
        if not row["planned"]:
            corner = (x - 0.5, y - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, alpha=0.55, **HATCHED))
    _draw_theory(axes, _grid(part, "theory", steps, ratios))


def _rounded(effect: float) -> str:
    """Return an effect to a point, one below a point to a tenth."""
    digits = 0 if abs(effect) >= 1 else 1
    return f"{effect:.{digits}f}"


def _grid(
    part: pd.DataFrame, column: str, steps: Sequence[int], ratios: Sequence[float]
) -> np.ndarray:
    """Return a column as a grid, (ratios, steps); nan where nothing was trained."""
    wide = part.pivot_table(index="ratio", columns="steps", values=column, aggfunc="first")
    grid: np.ndarray = wide.reindex(index=list(ratios), columns=list(steps)).to_numpy(dtype=float)
    return grid


def _draw_theory(axes: Axes, theory: np.ndarray) -> None:
    """Draw where one process with the batch n_eff loses so many points."""
    if min(theory.shape) < 2 or np.isnan(theory).all():
        return
    for level, line in LEVELS.items():
        if np.nanmin(theory) < level < np.nanmax(theory):
            axes.contour(theory, levels=[level], colors=BLACK, linestyles=line, linewidths=1.2)


def _name_panels(
    panels: np.ndarray,
    columns: Sequence[str],
    steps: Sequence[int],
    ratios: Sequence[float],
) -> None:
    """Write titles, ticks and labels."""
    for axes, sampling in zip(panels[0], columns, strict=True):
        axes.set_title(COLUMNS[sampling])
    for axes in panels[-1]:
        axes.set_xlabel("Steps")
        axes.set_xticks(range(len(steps)), [str(step) for step in steps])
    for axes, role in zip(panels[:, 0], ROWS.values(), strict=True):
        axes.set_ylabel(f"{role}\n$n_{{\\mathrm{{eff}}}}/B$")
        axes.set_yticks(range(len(ratios)), [f"{ratio:.2f}" for ratio in ratios])


# How conditions are drawn beside the strategies' own looks.
LOOKS: dict[str, Look] = {
    "single": STYLES["single"],
    "plain": STYLES["uneven-plain"],
    "small": {"color": BLUE, "marker": "s", "linestyle": ":"},
}
NAMES = {
    "single": "one process, B",
    "plain": "plain mean, i.i.d.",
    "small": r"one process, $n_{\mathrm{eff}}$",
}


def small_batch_figure(runs: pd.DataFrame, shares: Sequence[str]) -> Figure:
    """Draw test OA over the length of the training: one process, the plain mean, and n_eff.

    Args:
        runs: From `.studies.many.tables.runs_table`.
        shares: Those to draw, a row of panels each, such as "107/21".
    """
    own = runs[(runs.role == "own") & (runs.sampling == "iid")]
    recipes = list(dict.fromkeys(own.recipe))
    with ieee_style(2):
        figure = new_figure(0.5 + 1.5 * len(shares))
        panels = figure.subplots(len(shares), len(recipes), squeeze=False, sharex=True)
        for line, share in zip(panels, shares, strict=True):
            for axes, recipe in zip(line, recipes, strict=True):
                of_recipe = own[own.recipe == recipe]
                used = of_recipe[(of_recipe.shares == share) | (of_recipe.kind == "single")]
                _draw_curves(axes, used)
                axes.set_title(f"{recipe}, {share}")
        for axes in panels[-1]:
            axes.set_xlabel("Steps")
        for axes in panels[:, 0]:
            axes.set_ylabel("Test OA (%)")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(NAMES))
        return figure


def _draw_curves(axes: Axes, runs: pd.DataFrame) -> None:
    """Draw means over seeds with their standard deviations."""
    for kind, name in NAMES.items():
        group = runs[runs.kind == kind].groupby("steps").oa
        mean = group.mean()
        axes.errorbar(mean.index, mean, yerr=group.std(), label=name, capsize=2, **LOOKS[kind])
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(runs.steps.unique()))
    plain_numbers(axes.xaxis)
    axes.grid(axis="y")


# Marks beside the middle of a row, in rows, and their colours.
BESIDE = {"balanced": (-0.15, VERMILION), "random": (0.15, GREY)}


def lasting_figure(table: pd.DataFrame, steps: int, shares: str) -> Figure:
    """Draw what the plain mean loses with shards, and what remains of it beside random ones.

    Args:
        table: From `.studies.many.tables.shards_table`.
        steps: Length of the training.
        shares: Of the platform, such as "90/26/9/3".
    """
    found = table[(table.steps == steps) & (table.shares == shares)]
    recipes = list(dict.fromkeys(found.recipe))
    kinds = list(dict.fromkeys(found.sampling))
    with ieee_style(2):
        figure = new_figure(0.7 + 0.24 * len(kinds))
        panels = figure.subplots(1, len(recipes), squeeze=False, sharey=True)[0]
        for axes, recipe in zip(panels, recipes, strict=True):
            for beside, (offset, color) in BESIDE.items():
                part = found[(found.recipe == recipe) & (found.beside == beside)]
                places = [kinds.index(kind) + offset for kind in part.sampling]
                bars = [part.effect - part.low, part.high - part.effect]
                axes.errorbar(
                    part.effect,
                    places,
                    xerr=bars,
                    fmt="o",
                    color=color,
                    capsize=2,
                    label=f"minus {beside}",
                )
            axes.axvline(0, color=GREY, linewidth=0.6)
            axes.set_title(recipe)
            axes.set_xlabel("OA (points)")
            axes.grid(axis="x")
        panels[0].set_yticks(range(len(kinds)), kinds)
        panels[0].invert_yaxis()
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(BESIDE))
        return figure
