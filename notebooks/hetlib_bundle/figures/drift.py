"""Step time while a replica changes its speed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hetlib_bundle.figures.pieces import entries_of, legend_above, panels_in_a_column
from hetlib_bundle.figures.style import (
    BLACK,
    DENSE_DOTS,
    GREEN,
    PURPLE,
    VERMILION,
    Look,
    ieee_style,
    new_figure,
)


def _line(color: str, linestyle: Any, linewidth: float) -> Look:
    return {"color": color, "linestyle": linestyle, "linewidth": linewidth}


# How a plan follows the replicas.
LINES = {
    "static": _line(VERMILION, "-", 0.9),
    "proportional": _line(PURPLE, (0, (3, 1)), 0.9),
    "re-fit": _line(GREEN, "-", 1.1),
    "optimum": _line(BLACK, DENSE_DOTS, 1.0),
}

NEW_PLAN: Look = {
    "marker": "v",
    "markersize": 5,
    "markeredgecolor": "white",
    "markeredgewidth": 0.4,
}

# Seconds of the steps, (steps,), and the plans: the step that each one begins with, and itself.
Followed = tuple[np.ndarray, Sequence[tuple[int, Any]]]


def drift_figure(panels: Mapping[str, Mapping[str, Followed]]) -> Figure:
    """Draw step time against step; a triangle marks the first step of a new plan.

    Args:
        panels: By title, what is drawn there by kind: ``"static"``, ``"proportional"``,
            ``"re-fit"`` or ``"optimum"``.
    """
    with ieee_style(2):
        figure = new_figure(0.7 + 1.35 * len(panels))
        rows = panels_in_a_column(figure, len(panels))
        for axes, (title, kinds) in zip(rows, panels.items(), strict=True):
            _draw_kinds(axes, kinds)
            axes.set_title(title, loc="left")
        rows[-1].set_xlabel("Step")

        entries: dict[str, Artist] = {}
        for axes in rows:
            entries |= entries_of(axes)
        legend_above(figure, 4, entries)
        return figure


def _draw_kinds(axes: Axes, kinds: Mapping[str, Followed]) -> None:
    for name, (seconds, plans) in kinds.items():
        line = LINES[name]
        axes.plot(1e3 * seconds, label=name, drawstyle="steps-mid", **line)

        changes = [step for step, _ in plans if 0 < step < len(seconds)]
        mark = NEW_PLAN | {"linestyle": "", "color": line["color"]}
        axes.plot(changes, 1e3 * seconds[changes], **mark)

    longest = max(len(seconds) for seconds, _ in kinds.values())
    axes.set_ylabel("Step (ms)")
    axes.set_xlim(0, longest - 1)
    axes.set_ylim(0, None)
    axes.grid(axis="y")
