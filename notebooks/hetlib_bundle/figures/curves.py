"""What CNNs cost, and how training goes on by epochs and by seconds, as figures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hetlib_bundle.figures.pieces import (
    entries_of,
    legend_above,
    list_rows,
    plain_numbers,
)
from hetlib_bundle.figures.style import (
    ORANGE,
    Look,
    ieee_style,
    looks_of,
    new_figure,
    shades,
)

FACTORS = {"loss": 1, "oa": 100}  # from what is recorded to what is drawn

BAR = 0.62  # height of a single bar, in rows
GROUP = 0.8  # height of the bars of one row together, in rows
DRAWN = 0.9  # of the height that a bar of a group has
BESIDE = 0.12  # room for the numbers beside the bars, as a fraction of the panel
FROM_HERE_WHOLE = 100  # numbers of three digits and more are written without a point


def convergence_figure(frame: pd.DataFrame) -> Figure:
    """Draw training loss and test OA against epochs and against seconds.

    Lines are means over seeds; single seeds are drawn thinly.

    Args:
        frame: One row an evaluation: ``strategy``, ``seed``, ``epoch``, ``loss``, ``oa`` (a
            fraction) and ``seconds``, NaN where they are not known.
    """
    looks = looks_of(frame.strategy)
    with ieee_style(2):
        figure = new_figure(4.1)
        panels = figure.subplots(2, 2, sharey="row", sharex="col")
        for column, x in enumerate(("epoch", "seconds")):
            for row, y in enumerate(("loss", "oa")):
                axes = panels[row, column]
                for name, look in looks.items():
                    own = frame[frame.strategy == name].dropna(subset=x)
                    _draw_seeds_and_mean(axes, own, x, y, look | {"label": name})
                axes.grid(axis="y")

        panels[0, 0].set_ylabel("Training loss")
        panels[1, 0].set_ylabel("Test OA (%)")
        panels[1, 0].set_xlabel("Epoch")
        panels[1, 0].xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        panels[1, 1].set_xlabel("Training time (s; steps x measured step time)")
        panels[1, 1].set_xscale("log")
        plain_numbers(panels[1, 1].xaxis)
        legend_above(figure, min(len(looks), 5), entries_of(panels[0, 0]))
        return figure


def _draw_seeds_and_mean(axes: Axes, rows: pd.DataFrame, x: str, y: str, look: Look) -> None:
    """Draw the column ``y`` of one strategy against ``x``; the OA in percent."""
    factor = FACTORS[y]
    thin = {"color": look["color"], "alpha": 0.18, "linewidth": 0.6}
    for _, seed in rows.groupby("seed"):
        axes.plot(seed[x], factor * seed[y], **thin)

    means = rows.groupby("epoch", as_index=False)[["seconds", y]].mean()
    axes.plot(means[x], factor * means[y], **look)


def cost_figure(table: pd.DataFrame, batches: Sequence[int]) -> Figure:
    """Draw measured step times of CNNs, and the bytes that a step all-reduces.

    Args:
        table: One row a CNN: ``model``, ``step <n> (ms)`` for each batch, ``all-reduced bytes``.
        batches: The local batches, in samples.
    """
    with ieee_style(2):
        figure = new_figure(0.8 + 0.25 * len(table))
        left, right = figure.subplots(1, 2, sharey=True)
        _draw_step_times(left, table, batches)
        _draw_bytes(right, table)
        for axes in (left, right):
            plain_numbers(axes.xaxis)
        legend_above(figure, len(batches), title="Local batch")
        return figure


def _draw_step_times(axes: Axes, table: pd.DataFrame, batches: Sequence[int]) -> None:
    """Draw the bars of each CNN one below the other, a shade a batch."""
    rows = np.arange(len(table))
    height = GROUP / len(batches)
    middle = (len(batches) - 1) / 2
    colours = shades(len(batches))
    for k, n in enumerate(batches):
        offset = (k - middle) * height
        look = {"height": DRAWN * height, "color": colours[k], "label": f"{n} samples"}
        _draw_bars(axes, rows + offset, table[f"step {n} (ms)"], look)
    axes.set_xscale("log")
    axes.set_xlabel("Measured time of a step (ms)")
    list_rows(axes, list(table.model))
    axes.margins(x=BESIDE)


def _draw_bytes(axes: Axes, table: pd.DataFrame) -> None:
    rows = np.arange(len(table))
    megabytes = table["all-reduced bytes"] / 1e6
    _draw_bars(axes, rows, megabytes, {"height": BAR, "color": ORANGE})
    axes.set_xscale("log")
    axes.set_xlabel("Gradients that a step all-reduces (MB)")
    axes.margins(x=BESIDE)


def _draw_bars(axes: Axes, rows: np.ndarray, lengths: pd.Series, look: Look) -> None:
    """Draw bars with their lengths as numbers beside them."""
    bars = axes.barh(rows, lengths, **look)
    numbers = [_short(bar.get_width()) for bar in bars]
    axes.bar_label(bars, numbers, padding=2, fontsize=6.5)


def _short(value: float) -> str:
    """Return a positive number with three digits, or all of its whole ones."""
    if value >= FROM_HERE_WHOLE:
        return f"{value:.0f}"
    return f"{value:.3g}"
