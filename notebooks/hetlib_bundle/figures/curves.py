"""What CNNs cost, and how training goes on by epochs and by seconds, as figures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hetlib_bundle.figures.style import STYLES, ieee_style, new_figure, sns


def convergence_figure(frame: pd.DataFrame) -> Figure:
    """Draw training loss and test OA against epochs and against seconds: means over seeds, and single seeds thinly."""
    order = [name for name in STYLES if name in set(frame.strategy)]
    with ieee_style(2):
        figure = new_figure(4.1)
        panels = figure.subplots(2, 2, sharey="row", sharex="col")
        for column, x in enumerate(("epoch", "seconds")):
            for row, (y, factor) in enumerate((("loss", 1), ("oa", 100))):
                axes = panels[row, column]
                for name in order:
                    own, look = frame[frame.strategy == name].dropna(subset=x), STYLES[name]
                    for _, seed in own.groupby("seed"):
                        axes.plot(
                            seed[x],
                            factor * seed[y],
                            color=look["color"],
                            alpha=0.18,
                            linewidth=0.6,
                        )
                    mean = (
                        own.groupby("epoch")[[x, y]].mean()
                        if x != "epoch"
                        else own.groupby("epoch")[[y]].mean()
                    )
                    where = mean[x] if x != "epoch" else mean.index
                    axes.plot(where, factor * mean[y], label=name, **look)
                axes.grid(axis="y")
        panels[0, 0].set_ylabel("Training loss")
        panels[1, 0].set(ylabel="Test OA (%)", xlabel="Epoch")
        panels[1, 1].set(xlabel="Training time (s; steps x measured step time)", xscale="log")
        panels[1, 1].xaxis.set_major_formatter("{x:g}")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(len(order), 5))
        return figure


def cost_figure(table: pd.DataFrame, batches: Sequence[int]) -> Figure:
    """Draw measured step times of CNNs for some local batches, and the bytes that a step all-reduces."""
    rows = np.arange(len(table))
    with ieee_style(2):
        figure = new_figure(0.8 + 0.25 * len(table))
        left, right = figure.subplots(1, 2, sharey=True)
        colours = sns.color_palette("crest", len(batches))
        height = 0.8 / len(batches)
        for k, (n, colour) in enumerate(zip(batches, colours, strict=True)):
            offset = (k - (len(batches) - 1) / 2) * height
            bars = left.barh(
                rows + offset,
                table[f"step {n} (ms)"],
                0.9 * height,
                color=colour,
                label=f"{n} samples",
            )
            left.bar_label(bars, [_short(bar.get_width()) for bar in bars], padding=2, fontsize=6.5)
        left.set(
            xscale="log",
            xlabel="Measured time of a step (ms)",
            yticks=rows,
            yticklabels=table.model,
        )
        left.set_ylim(len(rows) - 0.5, -0.5)
        left.margins(x=0.12)
        bars = right.barh(rows, table["all-reduced bytes"] / 1e6, 0.62, color="#E69F00")
        right.bar_label(bars, [_short(bar.get_width()) for bar in bars], padding=2, fontsize=6.5)
        right.set(xscale="log", xlabel="Gradients that a step all-reduces (MB)")
        right.margins(x=0.12)
        for axes in (left, right):
            axes.xaxis.set_major_formatter("{x:g}")
        figure.legend(loc="outside upper center", ncols=len(batches), title="Local batch")
        return figure


def _short(value: float) -> str:
    """Return a positive number with three digits, or all of its whole ones."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
