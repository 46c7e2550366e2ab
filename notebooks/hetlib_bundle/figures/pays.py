"""Where a second device pays, as it was measured."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from hetlib_bundle.figures.pieces import entries_of, legend_above, panels_in_a_row
from hetlib_bundle.figures.style import BLACK, BLUE, ORANGE, PURPLE, ieee_style, new_figure

HEIGHT = 2.5  # inches

# Of the CNNs, one after the other.
LOOKS = ((BLUE, "o"), (ORANGE, "s"), (PURPLE, "^"))

# The columns that are drawn: their label, and whether the mark is filled. Both are balanced.
MARKS = {
    "speedup over fastest": ("plan", True),
    "all replicas over fastest": ("best split that keeps both", False),
}

# Between the outer marks of a ratio; the distance of two ratios is 1.
APART = 0.5

# Of the axis of times, as far as they are in its reach.
TICKS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1, 1.2, 1.4, 1.6, 2, 2.5, 3, 4)


def measured_figure(cells: pd.DataFrame) -> Figure:
    """Draw how many times as fast as the fast device alone the splits of each cell are.

    Args:
        cells: From `studies.pays.over_sittings`.

    Returns:
        A panel a global batch, over the ratio of speeds.
    """
    models = sorted(cells.model.unique())
    ratios = sorted(cells.ratio.unique())
    batches = sorted(cells.batch.unique())
    with ieee_style(2):
        figure = new_figure(HEIGHT)
        panels = panels_in_a_row(figure, len(batches), sharey=True)
        for axes, batch in zip(panels, batches, strict=True):
            _draw_panel(axes, cells[cells.batch == batch], models, ratios)
            axes.set_title(f"Global batch {batch}")
        low, high = _reach(cells)
        panels[0].set_ylim(low / 1.05, high * 1.05)
        panels[0].set_ylabel("Times as fast as\nthe fast device alone")
        legend_above(figure, len(MARKS) * len(models), entries_of(panels[0]))
        return figure


def _reach(cells: pd.DataFrame) -> tuple[float, float]:
    """Return the least and the greatest value that is drawn, with intervals."""
    ends = [1.0]
    for column in MARKS:
        half = cells[f"{column} ±"].replace(np.inf, 0.0)
        ends += [(cells[column] - half).min(), (cells[column] + half).max()]
    return min(ends), max(ends)


def _draw_panel(
    axes: Axes, cells: pd.DataFrame, models: Sequence[str], ratios: Sequence[float]
) -> None:
    """Draw one global batch: a group of marks a ratio."""
    axes.set_yscale("log")
    axes.axhline(1, color=BLACK, linewidth=0.8)
    series = [(model, column) for model in models for column in MARKS]
    offsets = np.linspace(-APART / 2, APART / 2, len(series))
    for (model, column), offset in zip(series, offsets, strict=True):
        own = cells[cells.model == model]
        places = [ratios.index(ratio) + offset for ratio in own.ratio]
        color, marker = LOOKS[models.index(model) % len(LOOKS)]
        name, filled = MARKS[column]
        axes.errorbar(
            places,
            own[column],
            yerr=own[f"{column} ±"].replace(np.inf, np.nan),  # a single sitting has none
            label=f"{model}, {name}",
            color=color,
            marker=marker,
            markerfacecolor=color if filled else "white",
            linestyle="none",
            markersize=3,
            elinewidth=0.8,
            capsize=2,
        )
    axes.set_xticks(range(len(ratios)), [f"1:{ratio:g}" for ratio in ratios])
    axes.set_xlim(-0.5, len(ratios) - 0.5)
    axes.set_xlabel("Ratio of speeds")
    axes.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y")
