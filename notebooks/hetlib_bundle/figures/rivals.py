"""Time to a target of rivals at large ratios of speeds, modelled."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from hetlib_bundle.figures.pieces import entries_of, legend_above
from hetlib_bundle.figures.style import BLACK, ieee_style, new_figure, shades

# Height of a row and of the rest, in inches.
ROW = 0.24
REST = 0.85

# Between the outer marks of a row.
APART = 0.5

# Of the axis of times, as far as they are in its reach.
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)

# One a ratio.
MARKERS = "osD^v"


def rivals_figure(table: pd.DataFrame) -> Figure:
    """Draw the times to the target over that of the fast device alone.

    Args:
        table: From `studies.many.rival_times.rivals_table`.

    Returns:
        A row a strategy, a mark a ratio of speeds; left of the line is sooner than the fast device
        alone. Where no seed gets there, the row says so.
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
        low, high = axes.get_xlim()
        axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.set_xlim(low, high)  # the ticks are of a wider reach
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(axis="x")
        _name_missing(axes, table, strategies)
        axes.set_xlabel("Modelled time over that of the fast device alone")
        legend_above(figure, len(ratios), entries_of(axes))
    return figure


def _name_missing(axes: Axes, table: pd.DataFrame, strategies: Sequence[str]) -> None:
    """Write in a row at which ratios no seed reaches the target."""
    missing = table[table.time.isna()]
    for strategy, part in missing.groupby("strategy"):
        ratios = ", ".join(f"1:{ratio:g}" for ratio in part.ratio)
        place = (1.0, strategies.index(str(strategy)) + 0.25)
        across = axes.get_yaxis_transform()  # a fraction of the width, and rows
        text = f"target not reached at {ratios}"
        axes.text(*place, text, transform=across, ha="right", va="center", size=6.5)


def _sides(part: pd.DataFrame) -> np.ndarray:
    """Return the lengths of the intervals to both sides, (2, n); those of one seed have none."""
    endless = ~np.isfinite(part.high)
    low = part.low.mask(endless, part.time)
    high = part.high.mask(endless, part.time)
    return np.stack([part.time - low, high - part.time])
