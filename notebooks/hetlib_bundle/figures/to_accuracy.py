"""Time to an accuracy: steps that were trained, times steps that a clock saw."""

import pandas as pd
from matplotlib.figure import Figure

from hetlib_bundle.figures.pieces import entries_of, legend_above, list_rows
from hetlib_bundle.figures.style import GREY, STYLES, ieee_style, new_figure

# Strategy: where its marks lie beside the middle of a row, in rows.
OFFSETS = {"uneven-plain": -0.24, "balanced": 0.0, "fastest-only": 0.24}

# Of the table: what is drawn.
TIME = "over equal (computed)"


def to_accuracy_figure(table: pd.DataFrame) -> Figure:
    """Draw the time to the target over that of equal shares, with its 95 % interval.

    Args:
        table: From `studies.to_accuracy.time_table`; a row of the figure a recipe.
    """
    recipes = list(dict.fromkeys(table.recipe))
    with ieee_style():
        figure = new_figure(0.85 + 0.3 * len(recipes))
        axes = figure.add_subplot(xlabel="Time to the target over that of equal shares (computed)")
        axes.axvline(1, color=GREY, linewidth=0.8)
        for strategy, offset in OFFSETS.items():
            rows = table[table.strategy == strategy].set_index("recipe").loc[recipes]
            bars = [rows[TIME] - rows.low, rows.high - rows[TIME]]
            axes.errorbar(
                rows[TIME],
                [place + offset for place in range(len(recipes))],
                xerr=bars,
                color=STYLES[strategy]["color"],
                marker=STYLES[strategy]["marker"],
                linestyle="none",
                elinewidth=0.8,
                capsize=2,
                label=strategy,
            )
        list_rows(axes, recipes)
        axes.set_xlim(0, None)
        axes.grid(axis="x")
        legend_above(figure, len(OFFSETS), entries_of(axes))
        return figure
