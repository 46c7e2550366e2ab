"""Where a second device pays, as it was measured."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hetlib_bundle.figures.pieces import entries_of, legend_above
from hetlib_bundle.figures.style import BLACK, STYLES, ieee_style, new_figure

# Height of a row and of the rest, in inches.
ROW = 0.17
REST = 0.85

# From the first mark of a row to the second.
APART = 0.22

# The columns that are drawn: their label, and whether the mark is filled. Both are balanced.
MARKS = {
    "speedup over fastest": ("plan", True),
    "all replicas over fastest": ("best split that keeps both", False),
}


def measured_figure(cells: pd.DataFrame) -> Figure:
    """Draw how many times faster than the fast device alone the splits of each cell are.

    Args:
        cells: From `studies.pays.over_sittings`.
    """
    rows = cells.sort_values(["model", "batch", "ratio"], ascending=False)
    places = np.arange(len(rows))
    with ieee_style():
        figure = new_figure(REST + ROW * len(rows))
        axes = figure.add_subplot(xscale="log")
        axes.axvline(1, color=BLACK, linewidth=0.8)
        look = STYLES["balanced"]
        for number, (column, (label, filled)) in enumerate(MARKS.items()):
            half = rows[f"{column} ±"].replace(np.inf, np.nan)  # a single sitting has none
            axes.errorbar(
                rows[column],
                places + APART * (0.5 - number),
                xerr=half,
                label=label,
                color=look["color"],
                marker=look["marker"],
                markerfacecolor=look["color"] if filled else "white",
                linestyle="none",
                markersize=4,
                elinewidth=0.8,
            )
        names = [f"{row.model}, 1:{row.ratio:g}, batch {row.batch}" for row in rows.itertuples()]
        axes.set_yticks(places, labels=names)
        axes.set_ylim(-0.5, len(rows) - 0.5)  # few rows would leave half of a mark outside
        axes.set_xlabel("Times as fast as the fast device alone")
        ticks = [0.25, 0.5, 0.7, 1, 1.4, 2]
        axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.grid(axis="x")
        legend_above(figure, 2, entries_of(axes))
        return figure
