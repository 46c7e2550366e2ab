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
    PALE_GREY,
    PURPLE,
    VERMILION,
    Look,
    ieee_style,
    new_figure,
)


def _line(color: str, linestyle: Any, linewidth: float) -> Look:
    return {"color": color, "linestyle": linestyle, "linewidth": linewidth}


# How a plan follows the replicas. All take the same while their plans are alike: the first line is
# broad, so that it shows under the others.
LINES = {
    "static": _line(VERMILION, "-", 2.6) | {"alpha": 0.55},
    "proportional": _line(PURPLE, (0, (3, 1)), 1.1),
    "re-fit": _line(GREEN, "-", 0.9),
    "optimum": _line(BLACK, DENSE_DOTS, 1.0),
}

NEW_PLAN: Look = {
    "marker": "v",
    "markersize": 5,
    "markeredgecolor": "white",
    "markeredgewidth": 0.4,
}

# A stretch of steps: its first one, the one after its last, and its name.
Stretch = tuple[int, int, str]

# Seconds of the steps, (steps,), and the plans: the step that each one begins with, and itself.
Followed = tuple[np.ndarray, Sequence[tuple[int, Any]]]


def drift_figure(
    panels: Mapping[str, Mapping[str, Followed]],
    stretches: Mapping[str, Sequence[Stretch]] | None = None,
) -> Figure:
    """Draw step time against step; a triangle marks the first step of a new plan.

    Args:
        panels: By title, what is drawn there by kind: ``"static"``, ``"proportional"``,
            ``"re-fit"`` or ``"optimum"``.
        stretches: By title, steps that are shaded, with their names.

    Returns:
        Panels with one axis of steps; the legend stands in the first one where there are several,
        at its end, where the shorter of two courses has no steps.
    """
    shaded = stretches or {}
    with ieee_style(2):
        figure = new_figure(0.5 + 1.35 * len(panels))
        rows = panels_in_a_column(figure, len(panels), sharex=True)
        entries: dict[str, Artist] = {}
        for axes, (title, kinds) in zip(rows, panels.items(), strict=True):
            _draw_kinds(axes, kinds)
            _shade(axes, shaded.get(title, ()))
            axes.set_title(title, loc="left")
            entries |= entries_of(axes)
        rows[-1].set_xlabel("Step")
        rows[-1].set_xlim(0, _longest(panels) - 1)

        if len(rows) > 1:
            white = {"frameon": True, "framealpha": 1, "edgecolor": "white"}  # hides the grid
            rows[0].legend(list(entries.values()), list(entries), loc="upper right", **white)
        else:
            legend_above(figure, 4, entries)
        return figure


def _longest(panels: Mapping[str, Mapping[str, Followed]]) -> int:
    """Return the number of steps of the longest course."""
    lengths = []
    for kinds in panels.values():
        lengths += [len(seconds) for seconds, _ in kinds.values()]
    return max(lengths)


def _shade(axes: Axes, stretches: Sequence[Stretch]) -> None:
    """Shade stretches of steps, and write their names at the upper edge."""
    for first, end, name in stretches:
        axes.axvspan(first - 0.5, end - 0.5, color=PALE_GREY, linewidth=0)
        place = ((first + end - 1) / 2, 0.98)
        upper = axes.get_xaxis_transform()  # steps, and a fraction of the height
        axes.text(*place, name, transform=upper, ha="center", va="top", size=7)


def _draw_kinds(axes: Axes, kinds: Mapping[str, Followed]) -> None:
    for name, line in LINES.items():
        if name not in kinds:
            continue
        seconds, plans = kinds[name]
        axes.plot(1e3 * seconds, label=name, drawstyle="steps-mid", **line)

        changes = [step for step, _ in plans if 0 < step < len(seconds)]
        mark = NEW_PLAN | {"linestyle": "", "color": line["color"]}
        axes.plot(changes, 1e3 * seconds[changes], **mark)

    axes.set_ylabel("Step (ms)")
    axes.margins(y=0.2)  # names of stretches stand above the lines
    axes.set_ylim(0, None)
    axes.grid(axis="y")
