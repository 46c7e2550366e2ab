"""Step time while a replica changes its speed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hetlib_bundle.figures.style import ieee_style, new_figure

_FOLLOWS: dict[str, dict[str, Any]] = {
    "static": {"color": "#D55E00", "linestyle": "-", "linewidth": 0.9},
    "proportional": {"color": "#CC79A7", "linestyle": (0, (3, 1)), "linewidth": 0.9},
    "re-fit": {"color": "#009E73", "linestyle": "-", "linewidth": 1.1},
    "optimum": {"color": "#000000", "linestyle": (0, (1, 1)), "linewidth": 1.0},
}


def drift_figure(
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, Sequence[tuple[int, Any]]]]],
) -> Figure:
    """Draw step time against step, one panel a title: for each kind its seconds ``(steps,)`` and its plans.

    A triangle marks the first step of a new plan.
    """
    with ieee_style(2):
        figure = new_figure(0.7 + 1.35 * len(panels))
        for axes, (title, kinds) in zip(
            np.atleast_1d(figure.subplots(len(panels), 1)), panels.items(), strict=True
        ):
            for name, (seconds, plans) in kinds.items():
                look, changes = (
                    _FOLLOWS[name],
                    [step for step, _ in plans if 0 < step < len(seconds)],
                )
                axes.plot(1e3 * seconds, label=name, drawstyle="steps-mid", **look)
                mark = {
                    "marker": "v",
                    "markersize": 5,
                    "markeredgecolor": "white",
                    "markeredgewidth": 0.4,
                }
                axes.plot(
                    changes, 1e3 * seconds[changes], linestyle="", color=look["color"], **mark
                )
            longest = max(len(seconds) for seconds, _ in kinds.values())
            axes.set(ylabel="Step (ms)", xlim=(0, longest - 1), ylim=(0, None))
            axes.set_title(title, loc="left")
            axes.grid(axis="y")
        axes.set_xlabel("Step")
        handles: dict[str, Any] = {}
        for axes in figure.axes:
            handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=4)
        return figure
