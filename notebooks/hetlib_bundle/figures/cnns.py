"""What CNNs that learn from scratch lose, by condition and length of the training."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hetlib_bundle.figures.pieces import ABOVE, list_rows, panels_in_a_row
from hetlib_bundle.figures.style import GREY, ieee_style, new_figure, shades

# Height of a row and of what lies around the rows, in inches.
ROW = 0.26
REST = 0.75

# Of the marks of the lengths around the middle of a row, in rows.
SPREAD = 0.3

# One a length, from the shortest on; what is hollow is shorter.
MARKERS = "osD^v"

# How a figure writes the effective batch of the tables.
WORTH = ("n_eff", r"$n_{\mathrm{eff}}$")


def cnns_figure(table: pd.DataFrame) -> Figure:
    """Draw the differences to one process: a panel a data set, a row a condition.

    A mark is a mean over seeds with its 95 % t-interval; only that of the longest training is
    filled. All panels have one scale.

    Args:
        table: From `hetlib_bundle.studies.cnn_tables.summary`.
    """
    shown = table[table.beside == "single"]
    rows = list(dict.fromkeys(shown.condition))
    recipes = list(dict.fromkeys(shown.recipe))
    with ieee_style(2):
        figure = new_figure(REST + ROW * len(rows))
        panels = panels_in_a_row(figure, len(recipes), sharex=True, sharey=True)
        for axes, recipe in zip(panels, recipes, strict=True):
            _panel(axes, shown[shown.recipe == recipe], rows)
            axes.set_title(recipe)
        figure.supxlabel("Test OA minus that of one process (percentage points)")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc=ABOVE, ncols=len(labels))
        return figure


def _panel(axes: Axes, part: pd.DataFrame, rows: list[str]) -> None:
    """Draw one data set."""
    axes.axvline(0, color=GREY, linewidth=0.6)
    lengths = sorted(part.steps.unique())
    offsets = np.linspace(-SPREAD / 2, SPREAD / 2, len(lengths))
    colours = shades(len(lengths))
    for number, steps in enumerate(lengths):
        offset = offsets[number]
        colour = colours[number]
        found = part[part.steps == steps]
        places = [rows.index(name) + offset for name in found.condition]
        half = (found.high - found.effect).replace(np.inf, 0.0)
        look: dict[str, Any] = {"color": colour, "capsize": 2, "elinewidth": 0.9}
        look["fmt"] = MARKERS[number % len(MARKERS)]
        if steps < lengths[-1]:
            look["markerfacecolor"] = "white"
        axes.errorbar(found.effect, places, xerr=half, label=f"{steps} steps", **look)
    list_rows(axes, [name.replace(*WORTH) for name in rows])
    axes.grid(axis="x")
