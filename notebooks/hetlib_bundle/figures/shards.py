"""Replicas that always draw from their own part of the data."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hetlib_bundle.figures.pieces import legend_above, list_rows
from hetlib_bundle.figures.style import STYLES, ieee_style, new_figure

# Strategy: where its marks lie beside the middle of a row, in rows.
OFFSETS = {"balanced": -0.15, "uneven-plain": 0.15}


def shards_figure(table: pd.DataFrame) -> Figure:
    """Draw the test OA at the optimum by kind of shard.

    Args:
        table: One row a draw: ``shards`` (the kind), ``strategy`` and ``OA``, a fraction.
    """
    kinds = list(dict.fromkeys(table.shards))
    with ieee_style():
        figure = new_figure(1.9)
        axes = figure.add_subplot(xlabel="Test OA at the optimum (%)")
        for strategy, offset in OFFSETS.items():
            look = STYLES[strategy] | {"linestyle": "", "label": strategy}
            for y, kind in enumerate(kinds):
                drawn = (table.shards == kind) & (table.strategy == strategy)
                values = 100 * table.OA[drawn]
                axes.plot(values, np.full(len(values), y + offset), **look)
                look["label"] = None  # named once
        list_rows(axes, kinds)
        axes.set_ylabel("Fixed shards")
        axes.grid(axis="x")
        legend_above(figure, 2)
        return figure
