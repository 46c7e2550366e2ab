"""One factor at a time: differences to one process."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hetlib_bundle.claims.verdict import interval
from hetlib_bundle.figures.style import STYLES, ieee_style, new_figure
from hetlib_bundle.studies.settings import DIFFERENCE


def settings_figure(table: pd.DataFrame, margin: float = 1.0) -> Figure:
    """Draw the rows of `differences` by setting and strategy: a tick a seed, the mean with its 95 % t-interval.

    The band is -margin..margin around one process.
    """
    order, strategies = list(dict.fromkeys(table.setting)), ("balanced", "uneven-plain")
    with ieee_style():
        figure = new_figure(0.75 + 0.27 * len(order))
        axes = figure.add_subplot(xlabel="Test OA minus that of one process (percentage points)")
        axes.axvspan(-margin, margin, color="#E6E6E6", linewidth=0)
        axes.axvline(0, color="#8C8C8C", linewidth=0.6)
        for strategy, offset in zip(strategies, (-0.17, 0.17), strict=True):
            look = {
                "color": STYLES[strategy]["color"],
                "fmt": STYLES[strategy]["marker"],
                "capsize": 2,
            }
            own, label = table[table.strategy == strategy], strategy
            for setting, rows in own.groupby("setting", sort=False):
                y = order.index(str(setting)) + offset
                axes.plot(
                    rows[DIFFERENCE],
                    np.full(len(rows), y),
                    "|",
                    color=look["color"],
                    alpha=0.45,
                    markersize=4,
                )
                mean, half = interval(rows[DIFFERENCE])
                bar = np.nan_to_num(half, posinf=0.0)  # one seed has no interval
                axes.errorbar(mean, y, xerr=bar, label=label, elinewidth=0.9, **look)
                label = "_"  # named once
        axes.set(yticks=range(len(order)), yticklabels=[name.replace("-", " ") for name in order])
        axes.set_ylim(len(order) - 0.45, -0.55)
        axes.grid(axis="x")
        figure.legend(loc="outside upper center", ncols=2)
        return figure
