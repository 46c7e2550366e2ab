"""One factor at a time: differences to one process."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hetlib_bundle.figures.pieces import (
    draw_mean,
    draw_seeds,
    legend_above,
    list_rows,
)
from hetlib_bundle.figures.style import (
    GREY,
    PALE_GREY,
    STYLES,
    ieee_style,
    new_figure,
)
from hetlib_bundle.studies.settings import DIFFERENCE

# Strategy: where its marks lie beside the middle of a row, in rows.
OFFSETS = {"balanced": -0.17, "uneven-plain": 0.17}
ROOM = 0.55  # above the first row and below the last, in rows


def settings_figure(table: pd.DataFrame, margin: float = 1.0) -> Figure:
    """Draw the rows of `differences` by setting and strategy.

    A tick is a seed, a mark the mean with its 95 % t-interval; beside a setting stands n_eff / B of
    its plain mean.

    Args:
        table: ``setting``, ``strategy``, ``n_eff/B`` and `DIFFERENCE`, in percentage points.
        margin: The band around one process reaches from -margin to margin.
    """
    order = list(dict.fromkeys(table.setting))
    with ieee_style():
        figure = new_figure(0.75 + 0.27 * len(order))
        axes = figure.add_subplot(xlabel="OA minus one process (points)")
        axes.axvspan(-margin, margin, color=PALE_GREY, linewidth=0)
        axes.axvline(0, color=GREY, linewidth=0.6)
        for strategy in OFFSETS:
            _draw_strategy(axes, strategy, table[table.strategy == strategy], order)
        list_rows(axes, [_named(name, table) for name in order], ROOM)
        axes.grid(axis="x")
        legend_above(figure, 2)
        return figure


def _named(setting: str, table: pd.DataFrame) -> str:
    """Return a setting with what its plain mean is worth."""
    plain = table[(table.setting == setting) & (table.strategy == "uneven-plain")]
    worth = plain["n_eff/B"].iloc[0]
    return f"{setting.replace('-', ' ')} ({worth:.2f})"


def _draw_strategy(axes: Axes, strategy: str, table: pd.DataFrame, order: Sequence[str]) -> None:
    look = STYLES[strategy]
    label = strategy
    for setting, rows in table.groupby("setting", sort=False):
        y = order.index(str(setting)) + OFFSETS[strategy]
        values = rows[DIFFERENCE].to_numpy()
        draw_seeds(axes, values, y, color=look["color"], alpha=0.45, markersize=4)
        draw_mean(axes, values, y, look, label=label, elinewidth=0.9)
        label = "_"  # named once
