"""The map of regimes: what the plain mean loses, over the length of the training and n_eff / B."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hetlib_bundle.figures.pieces import plain_numbers
from hetlib_bundle.figures.style import (
    BLACK,
    GREY,
    STYLES,
    VERMILION,
    Look,
    ieee_style,
    new_figure,
)
from hetlib_bundle.studies.many.tables import AT_CHANCE, chosen, differences, summary

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
DAGGER = "†"

# Points from which on a number in a cell is written in white.
DARK = 6.0


def regime_figure(table: pd.DataFrame, recipe: str) -> Figure:
    """Draw the map of one recipe, at each one's own rate and at that of one process.

    A cell is the mean over seeds, with its number where the 95 % interval does not hold 0, and a
    dagger where a run of it is not better than a guess. Hatched are shares that no planner would
    make; white is not recorded. The lines are the theory: below them, towards fewer steps and a
    smaller n_eff, one process whose batch is n_eff loses more than so many points.

    Args:
        table: From `.studies.many.regime.regime_table`.
        recipe: Which one of it.

    Raises:
        ValueError: The table has nothing of this recipe.
    """
    found = table[table.recipe == recipe]
    if found.empty:
        raise ValueError(f"`recipe` is {recipe!r}; the table has {sorted(set(table.recipe))}.")
    lines = {label: found[found.role == role] for role, label in ROWS.items()}
    return _maps(lines, height=3.6)


def recipes_figure(table: pd.DataFrame) -> Figure:
    """Draw the maps of all recipes, each condition at its own rate, as `regime_figure` does.

    Args:
        table: From `.studies.many.regime.regime_table`.
    """
    own = table[table.role == "own"]
    lines = {str(recipe): part for recipe, part in own.groupby("recipe", sort=False)}
    return _maps(lines, height=0.6 + 1.3 * len(lines))


def _maps(lines: Mapping[str, pd.DataFrame], height: float) -> Figure:
    """Draw a line of maps for each part of a table, one map a kind of sampling.

    Args:
        lines: By what stands before the line.
        height: Of the figure, in inches.
    """
    every = pd.concat(lines.values())
    steps = sorted(every.steps.unique())
    ratios = sorted(every.ratio.unique())
    columns = [sampling for sampling in COLUMNS if (every.sampling == sampling).any()]
    with ieee_style(2):
        figure = new_figure(height)
        panels = figure.subplots(len(lines), len(columns), squeeze=False, sharex=True, sharey=True)
        for line, found in zip(panels, lines.values(), strict=True):
            for axes, sampling in zip(line, columns, strict=True):
                _draw_panel(axes, found[found.sampling == sampling], steps, ratios)
        _name_panels(panels, list(lines), columns, steps, ratios)
        label = "OA − OA of one process (points)"
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
        text = _text_of(row)
        if text:
            color = "white" if abs(row["effect"]) > DARK else BLACK
            axes.text(x, y, text, ha="center", va="center", color=color, size=7)
        if not row["planned"]:
            corner = (x - 0.5, y - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, alpha=0.55, **HATCHED))
    _draw_theory(axes, _grid(part, "theory", steps, ratios))


def _text_of(row: Mapping[Hashable, Any]) -> str:
    """Return what a cell says: its number where that is none by chance, and its mark."""
    text = ""
    if not row["low"] <= 0 <= row["high"]:
        text = _rounded(row["effect"])
    if row[AT_CHANCE]:
        text += DAGGER
    return text


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
    """Draw where one process with the batch n_eff begins to lose so many points.

    The lines run between cells: cells are trainings, and nothing was trained between them.
    """
    for level, line in LEVELS.items():
        x, y = _borders(theory, theory < level)
        if x:
            axes.plot(x, y, color=BLACK, linestyle=line, linewidth=1.2, solid_capstyle="butt")


def _borders(known: np.ndarray, inside: np.ndarray) -> tuple[list[float], list[float]]:
    """Return the edges between cells inside and outside as one broken line, x and y.

    Args:
        known: A grid; cells that are nan have no border.
        inside: Which cells of it are inside, (rows, columns).
    """
    rows, columns = known.shape
    x: list[float] = []
    y: list[float] = []
    for row in range(rows):
        for column in range(columns):
            here = (row, column)
            right = (row, column + 1)
            above = (row + 1, column)
            if column + 1 < columns and _differ(known, inside, here, right):
                x += [column + 0.5, column + 0.5, np.nan]
                y += [row - 0.5, row + 0.5, np.nan]
            if row + 1 < rows and _differ(known, inside, here, above):
                x += [column - 0.5, column + 0.5, np.nan]
                y += [row + 0.5, row + 0.5, np.nan]
    return x, y


def _differ(
    known: np.ndarray, inside: np.ndarray, one: tuple[int, int], other: tuple[int, int]
) -> bool:
    """Say whether a border runs between two cells."""
    if np.isnan(known[one]) or np.isnan(known[other]):
        return False
    return bool(inside[one] != inside[other])


def _name_panels(
    panels: np.ndarray,
    lines: Sequence[str],
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
    for axes, line in zip(panels[:, 0], lines, strict=True):
        axes.set_ylabel(f"{line}\n$n_{{\\mathrm{{eff}}}}/B$")
        axes.set_yticks(range(len(ratios)), [f"{ratio:.2f}" for ratio in ratios])


# How conditions are drawn beside the strategies' own looks, and what they are called.
LOOKS: dict[str, Look] = {
    "plain": STYLES["uneven-plain"],
    "small": {"color": GREY, "marker": "s", "linestyle": ":"},
}
NAMES = {
    "plain": "plain mean, i.i.d.",
    "small": r"one process, batch $n_{\mathrm{eff}}$",
}


def small_batch_figure(runs: pd.DataFrame, shares: Sequence[str]) -> Figure:
    """Draw OA minus that of one process with the whole batch: the plain mean, and a batch of n_eff.

    Differences are paired by seed; marks are means with the 95 % t-interval, and a dagger where one
    of the runs is not better than a guess.

    Args:
        runs: From `.studies.many.tables.runs_table`.
        shares: Those to draw, a row of panels each, such as "107/21".
    """
    single = chosen(runs, "single")
    recipes = list(dict.fromkeys(single.recipe))
    with ieee_style(2):
        figure = new_figure(0.5 + 1.5 * len(shares))
        panels = figure.subplots(len(shares), len(recipes), squeeze=False, sharex=True)
        for line, share in zip(panels, shares, strict=True):
            for axes, recipe in zip(line, recipes, strict=True):
                used = runs[(runs.recipe == recipe) & (runs.shares == share)]
                _draw_curves(axes, used, single[single.recipe == recipe])
            line[0].set_ylabel(f"{share}\nOA (points)")
        for axes, recipe in zip(panels[0], recipes, strict=True):
            axes.set_title(recipe)
        for axes in panels[-1]:
            axes.set_xlabel("Steps")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(NAMES))
        return figure


def _draw_curves(axes: Axes, runs: pd.DataFrame, single: pd.DataFrame) -> None:
    """Draw differences to one process over the length of the training."""
    axes.axhline(0, color=GREY, linewidth=0.6)
    for kind, name in NAMES.items():
        means = summary(differences(chosen(runs, kind), single), ["steps"]).sort_values("steps")
        bars = [means.effect - means.low, means.high - means.effect]
        axes.errorbar(means.steps, means.effect, yerr=bars, label=name, capsize=2, **LOOKS[kind])
        for steps, effect, lost in zip(means.steps, means.effect, means[AT_CHANCE], strict=True):
            if lost:
                axes.annotate(DAGGER, (steps, effect), (3, 3), textcoords="offset points")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(single.steps.unique()))
    plain_numbers(axes.xaxis)
    axes.grid(axis="y")


# Marks beside the middle of a row, in rows, and their colours.
BESIDE = {"balanced": (-0.15, VERMILION), "random": (0.15, GREY)}


def lasting_figure(table: pd.DataFrame, steps: int, shares: str) -> Figure:
    """Draw what the plain mean loses with shards, and what remains of it beside random ones.

    A dagger stands where one of the runs is not better than a guess.

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
            for beside in BESIDE:
                part = found[(found.recipe == recipe) & (found.beside == beside)]
                _draw_lasting(axes, part, kinds, beside)
            axes.axvline(0, color=GREY, linewidth=0.6)
            axes.set_title(recipe)
            axes.set_xlabel("OA (points)")
            axes.grid(axis="x")
        panels[0].set_yticks(range(len(kinds)), kinds)
        panels[0].invert_yaxis()
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(BESIDE))
        return figure


def _draw_lasting(axes: Axes, part: pd.DataFrame, kinds: Sequence[str], beside: str) -> None:
    """Draw the effects beside one kind of runs, and mark those with a lost one."""
    offset, color = BESIDE[beside]
    places = [kinds.index(kind) + offset for kind in part.sampling]
    bars = [part.effect - part.low, part.high - part.effect]
    look: Look = {"fmt": "o", "color": color, "capsize": 2, "label": f"minus {beside}"}
    axes.errorbar(part.effect, places, xerr=bars, **look)
    for end, place, lost in zip(part.high, places, part[AT_CHANCE], strict=True):
        if lost:
            axes.annotate(DAGGER, (end, place), (3, 0), textcoords="offset points", va="center")
