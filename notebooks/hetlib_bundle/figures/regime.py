"""The map of regimes: what the plain mean loses, over the length of the training and n_eff / B."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from hetlib_bundle.figures.style import BLACK, GREY, Look, ieee_style, new_figure
from hetlib_bundle.studies.many.tables import AT_CHANCE

# Panels, from left to right and from top to bottom.
COLUMNS = {"iid": "i.i.d. draws", "random": "random shards", "class": "class shards"}
ROWS = {"own": "own rate", "reference": "one process's rate"}

# Of the colours, in percentage points; what is beyond has the last colour.
DEEPEST = -10.0
HIGHEST = 0.0

# Losses at which the theory's lines lie, percentage points, and how they are drawn.
LEVELS: dict[float, Any] = {-3.0: "-", -1.0: ":"}

# Shares of which a plan would leave a replica out; see `.studies.many.regime.is_planned`.
HATCHED: Look = {"fill": False, "hatch": "////", "edgecolor": GREY, "linewidth": 0}

# Where a run is not better than a guess: the colour of the cell, and what stands behind its number.
CHANCE_COLOUR = "#C4C4C4"
DAGGER = "†"

# Points from which on a number in a cell is written in white.
DARK = 6.0


def regime_figure(table: pd.DataFrame, recipe: str) -> Figure:
    """Draw the map of one recipe, at each one's own rate and at that of one process.

    A cell is the mean over seeds, with its number where the 95 % interval does not hold 0. It is
    grey and has a dagger where a run of it is not better than a guess. Hatched are shares of which
    a plan would leave a replica out; white is not recorded. The lines are the theory: below them,
    towards fewer steps and a smaller n_eff, one process whose batch is n_eff loses more than so
    many points.

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
    return _maps(lines, height=3.9)


def recipes_figure(table: pd.DataFrame) -> Figure:
    """Draw the maps of all recipes, each condition at its own rate, as `regime_figure` does.

    Args:
        table: From `.studies.many.regime.regime_table`.
    """
    own = table[table.role == "own"]
    lines = {str(recipe): part for recipe, part in own.groupby("recipe", sort=False)}
    return _maps(lines, height=0.9 + 1.3 * len(lines))


def _maps(lines: Mapping[str, pd.DataFrame], height: float) -> Figure:
    """Draw a line of maps for each part of a table, one map a kind of sampling.

    Args:
        lines: By what stands before the line.
        height: Of the figure, in inches.
    """
    every = pd.concat(lines.values())
    steps = sorted(every.steps.unique())
    rows = every.groupby("ratio").shares.first()  # sorted by the ratio
    ratios = list(rows.index)
    columns = [sampling for sampling in COLUMNS if (every.sampling == sampling).any()]
    with ieee_style(2):
        figure = new_figure(height)
        panels = figure.subplots(len(lines), len(columns), squeeze=False, sharex=True, sharey=True)
        for line, found in zip(panels, lines.values(), strict=True):
            for axes, sampling in zip(line, columns, strict=True):
                _draw_panel(axes, found[found.sampling == sampling], steps, ratios)
        _name_panels(panels, list(lines), columns, steps, rows)
        label = "OA − OA of one process (points)"
        mesh = panels[0, 0].collections[0]  # all have the same colours
        figure.colorbar(mesh, ax=panels, label=label, extend="both", pad=0.01)
        figure.legend(handles=_legend(), loc="outside lower center", ncols=4, fontsize=7)
        return figure


def _legend() -> list[Any]:
    """Return what explains lines, hatches and grey cells."""
    entries: list[Any] = []
    for level, line in sorted(LEVELS.items(), reverse=True):
        name = rf"below: one process, batch $n_{{\mathrm{{eff}}}}$, loses {-level:g}"
        entries.append(Line2D([], [], color=BLACK, linestyle=line, linewidth=1.2, label=name))
    entries.append(Patch(**HATCHED, label="slow device better left out"))
    entries.append(Patch(color=CHANCE_COLOUR, label=f"{DAGGER} a run is at chance"))
    return entries


def _draw_panel(
    axes: Axes, part: pd.DataFrame, steps: Sequence[int], ratios: Sequence[float]
) -> None:
    """Draw one map: colours, numbers, hatches and the theory's lines."""
    lost = part[AT_CHANCE] > 0
    effect = _grid(part[~lost], "effect", steps, ratios)
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
        if row[AT_CHANCE]:
            axes.add_patch(_square(x, y, color=CHANCE_COLOUR, linewidth=0))
        text = _text_of(row)
        if text:
            dark = abs(row["effect"]) > DARK and not row[AT_CHANCE]
            color = "white" if dark else BLACK
            axes.text(x, y, text, ha="center", va="center", color=color, size=7)
        if not row["planned"]:
            axes.add_patch(_square(x, y, alpha=0.55, **HATCHED))
    _draw_theory(axes, _grid(part, "theory", steps, ratios))


def _square(x: float, y: float, **look: Any) -> Rectangle:
    """Return the outline of a cell."""
    return Rectangle((x - 0.5, y - 0.5), 1, 1, **look)


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
    rows: pd.Series,
) -> None:
    """Write titles, ticks and labels; rows are shares by n_eff / B."""
    names = [f"{shares}  {ratio:.2f}" for ratio, shares in rows.items()]
    for axes, sampling in zip(panels[0], columns, strict=True):
        axes.set_title(COLUMNS[sampling])
    for axes in panels[-1]:
        axes.set_xlabel("Steps")
        axes.set_xticks(range(len(steps)), [str(step) for step in steps])
    for axes, line in zip(panels[:, 0], lines, strict=True):
        axes.set_ylabel(f"{line}\nshares,  $n_{{\\mathrm{{eff}}}}/B$")
        axes.set_yticks(range(len(rows)), names, size=6.5)
