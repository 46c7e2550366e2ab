"""Time to a target of rivals at large ratios of speeds, modelled."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hetlib_bundle.figures.pieces import entries_of, legend_above, plain_numbers
from hetlib_bundle.figures.style import BLACK, ieee_style, new_figure, shades

# Height of a row and of the rest, in inches.
ROW = 0.24
REST = 0.85

# Between the outer marks of a row.
APART = 0.5

# One a ratio.
MARKERS = "osD^v"


def rivals_figure(table: pd.DataFrame) -> Figure:
    """Draw the times to the target over that of the fast device alone.

    Args:
        table: From `studies.many.rival_times.rivals_table`.

    Returns:
        A row a strategy, a mark a ratio of speeds; left of the line is sooner than the fast device
        alone. A strategy with which no seed gets there has no mark.
    """
    ratios = sorted(table.ratio.unique())
    strategies = list(dict.fromkeys(table.strategy))
    offsets = np.linspace(-APART / 2, APART / 2, len(ratios))
    colours = shades(len(ratios))
    with ieee_style():
        figure = new_figure(REST + ROW * len(strategies))
        axes = figure.add_subplot(xscale="log")
        axes.axvline(1, color=BLACK, linewidth=0.8)
        for number, ratio in enumerate(ratios):
            part = table[(table.ratio == ratio) & table.time.notna()]
            axes.errorbar(
                part.time,
                part.strategy.map(strategies.index) + offsets[number],
                xerr=_sides(part),
                linestyle="",
                color=colours[number],
                marker=MARKERS[number % len(MARKERS)],
                markersize=3,
                linewidth=0.8,
                label=f"speeds 1:{ratio:g}",
            )
        axes.set_yticks(range(len(strategies)), strategies)
        axes.invert_yaxis()
        plain_numbers(axes.xaxis)
        axes.set_xlabel("Modelled time over that of the fast device alone")
        legend_above(figure, len(ratios), entries_of(axes))
    return figure


def _sides(part: pd.DataFrame) -> np.ndarray:
    """Return the lengths of the intervals to both sides, (2, n); those of one seed have none."""
    endless = ~np.isfinite(part.high)
    low = part.low.mask(endless, part.time)
    high = part.high.mask(endless, part.time)
    return np.stack([part.time - low, high - part.time])
