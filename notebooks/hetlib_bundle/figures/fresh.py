"""Effects of the claims on fresh seeds, cell by cell, beside what the claims say."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hetlib_bundle.figures.pieces import ABOVE, list_rows
from hetlib_bundle.figures.style import (
    BLACK,
    GREEN,
    GREY,
    PALE_GREY,
    VERMILION,
    ieee_style,
    new_figure,
)

# Height of a row and of the legend, in inches, and of an axis and its label, in rows.
ROW = 0.13
REST = 0.4
ROOM = 4

# Beside what is drawn, in widths of it.
ROOM_BESIDE = 0.08

# By the word on a cell.
COLOURS = {"supported": GREEN, "not supported": VERMILION, "underpowered": GREY}

# The same in shapes, for who sees no colours.
MARKERS = {"supported": "o", "not supported": "X", "underpowered": "s"}

# What the panels say of the effect.
LABELS = {
    "Q2": r"Q2: OA − OA of a batch of $n_\mathrm{eff}$ (points)",
    "Q3": "Q3: log ratio of steps to the target",
    "Q4": "Q4: OA − OA of balanced (points)",
    "Q5": "Q5: OA − OA of one process (points)",
}


def fresh_figure(verdicts: pd.DataFrame) -> Figure:
    """Draw each cell's mean effect and its 95 % interval, a panel a claim.

    Args:
        verdicts: From `hetlib_bundle.claims.judge_values`, of claims in `LABELS`.

    Returns:
        The grey area is where the claim says that the mean is; colours are the words on the cells.
    """
    parts = {str(name): part for name, part in verdicts.groupby("claim")}
    tall, *others = sorted(parts, key=lambda name: len(parts[name]), reverse=True)
    others.sort()
    heights = [len(parts[name]) + ROOM for name in others]
    with ieee_style(2):
        figure = new_figure(REST + ROW * max(len(parts[tall]) + ROOM, sum(heights)))
        grid = figure.add_gridspec(max(len(others), 1), 2, height_ratios=heights or None)
        _panel(figure.add_subplot(grid[:, 0]), tall, parts[tall])
        for place, name in enumerate(others):
            _panel(figure.add_subplot(grid[place, 1]), name, parts[name])
        handles = [_mark(figure.axes[0], word) for word in COLOURS]
        figure.legend(handles=handles, loc=ABOVE, ncols=len(COLOURS))
    return figure


def _panel(axes: Axes, name: str, part: pd.DataFrame) -> None:
    """Draw one claim: a row a cell, first ones on top."""
    places = np.arange(len(part))
    reach = _reach(part)
    _claimed(axes, part.iloc[0], reach)
    axes.axvline(0, color=BLACK, linewidth=0.6)
    for place, cell in zip(places, part.to_dict("records"), strict=True):
        word = cell["verdict"]
        axes.plot([cell["low"], cell["high"]], [place, place], **_stroke(word))
        axes.plot([cell["effect"]], [place], marker=MARKERS[word], markersize=4, **_stroke(word))
    labels = part.dataset.str.cat(part.setting, sep=", ")
    list_rows(axes, list(labels))
    axes.tick_params(axis="y", length=0, labelsize=6.5)
    axes.set_xlim(*reach)
    axes.set_xlabel(LABELS[name])


def _reach(part: pd.DataFrame) -> tuple[float, float]:
    """Return from where to where the axis of a claim goes: 0, its margins and all intervals."""
    margin = part.margin.iloc[0]
    ends = [0.0, margin]
    if part["is"].iloc[0] == "within":
        ends.append(-margin)
    low = min([*ends, part.low.min()])
    high = max([*ends, part.high.max()])
    room = ROOM_BESIDE * (high - low)
    return low - room, high + room


def _claimed(axes: Axes, cell: pd.Series, reach: tuple[float, float]) -> None:
    """Shade where the claim says that the mean is."""
    lowest, highest = reach
    low, high = {
        "within": (-cell.margin, cell.margin),
        "above": (cell.margin, highest),
        "below": (lowest, cell.margin),
    }[cell["is"]]
    axes.axvspan(low, high, color=PALE_GREY, linewidth=0)


def _stroke(word: str) -> dict[str, Any]:
    return {"color": COLOURS[word], "linewidth": 1.1}


def _mark(axes: Axes, word: str) -> Any:
    """Return a line for the legend."""
    [line] = axes.plot([], [], marker=MARKERS[word], markersize=4, label=word, **_stroke(word))
    return line
