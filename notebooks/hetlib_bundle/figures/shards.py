"""Replicas that always draw from their own part of the data."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hetlib_bundle.figures.style import STYLES, ieee_style, new_figure


def shards_figure(table: pd.DataFrame) -> Figure:
    """Draw the test OA at the optimum by kind of shard; columns: shards, strategy, OA (a fraction), one row a draw."""
    kinds = list(dict.fromkeys(table.shards))
    with ieee_style():
        figure = new_figure(1.9)
        axes = figure.add_subplot(xlabel="Test OA at the optimum (%)")
        for strategy, offset in (("balanced", -0.15), ("uneven-plain", 0.15)):
            for y, kind in enumerate(kinds):
                values = 100 * table.OA[(table.shards == kind) & (table.strategy == strategy)]
                look = {"color": STYLES[strategy]["color"], "marker": STYLES[strategy]["marker"]}
                axes.plot(
                    values,
                    np.full(len(values), y + offset),
                    linestyle="",
                    label=None if y else strategy,
                    **look,
                )
        axes.set(
            yticks=range(len(kinds)),
            yticklabels=kinds,
            ylim=(len(kinds) - 0.5, -0.5),
            ylabel="Fixed shards",
        )
        axes.grid(axis="x")
        figure.legend(loc="outside upper center", ncols=2)
        return figure
