"""More replicas, other ratios of speed, slower links: modelled."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from hetlib_bundle.figures.pieces import (
    entries_of,
    legend_above,
    panels_in_a_row,
    plain_numbers,
)
from hetlib_bundle.figures.style import (
    BLACK,
    GREY,
    STYLES,
    Look,
    ieee_style,
    new_figure,
)

IDEAL: Look = {"color": GREY, "linewidth": 2.2, "alpha": 0.6, "label": "ideal (sum of speeds)"}

# Speedup: width of its contour. At 1 a second device begins to pay.
CONTOURS = {0.5: 0.5, 1: 1.4, 1.1: 0.5, 1.5: 0.5}
SPEEDUPS = [0.5, 0.7, 1, 1.4, 2]  # on the colour bar, which ends at the first and the last


def scaling_figure(
    by_replicas: pd.DataFrame,
    by_ratio: pd.DataFrame,
    by_communication: pd.DataFrame,
) -> Figure:
    """Draw modelled speedup over one fast replica against replicas, ratio and communication.

    Args:
        by_replicas: Rows of `scaling` for several numbers of replicas.
        by_ratio: For several ratios of speed.
        by_communication: For several costs of communication, over the fast one's compute.
    """
    with ieee_style(2):
        figure = new_figure(2.6)
        left, middle, right = figure.subplots(1, 3)

        _draw_speedups(left, by_replicas, "replicas")
        left.set_xscale("log")
        left.set_yscale("log")
        left.set_xlabel("Replicas, half of them slow")
        left.set_ylabel("Modelled speedup")

        _draw_speedups(middle, by_ratio, "ratio")
        middle.set_xscale("log", base=2)
        middle.set_xlabel("Ratio of speeds, two replicas")
        middle.set_ylim(0, None)

        _draw_speedups(right, by_communication, "communication")
        right.set_xlabel("Communication / compute of the fast one")
        right.set_ylim(0, None)

        for axes in (left, middle, right):
            plain_numbers(axes.xaxis)
            plain_numbers(axes.yaxis)
        legend_above(figure, 4, entries_of(left))
        return figure


def _draw_speedups(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    """Draw the speedup of each strategy, and the ideal one, against a column."""
    ideal = rows.drop_duplicates(column)
    axes.plot(ideal[column], ideal.ideal, **IDEAL)
    for name in ("fastest-only", "equal", "balanced"):
        own = rows[rows.strategy == name]
        axes.plot(own[column], own.speedup, label=name, **STYLES[name])
    axes.grid(axis="y")


def efficiency_figure(by_replicas: pd.DataFrame) -> Figure:
    """Draw modelled speedup as a fraction of the ideal against the number of replicas.

    Args:
        by_replicas: Rows of `scaling`; a panel a ratio of speeds.
    """
    groups = list(by_replicas.groupby("ratio"))
    with ieee_style(2):
        figure = new_figure(2.2)
        panels = panels_in_a_row(figure, len(groups), sharey=True)
        for axes, (ratio, rows) in zip(panels, groups, strict=True):
            _draw_efficiencies(axes, rows)
            axes.set_title(f"Slow half {ratio:g} times slower", loc="left")
        panels[0].set_ylabel("Modelled efficiency")
        legend_above(figure, 2, entries_of(panels[0]))
        return figure


def _draw_efficiencies(axes: Axes, rows: pd.DataFrame) -> None:
    for name in ("equal", "balanced"):
        own = rows[rows.strategy == name]
        axes.plot(own.replicas, own.efficiency, label=name, **STYLES[name])
    axes.set_xscale("log")
    axes.set_xlabel("Replicas")
    axes.set_ylim(0, 1.02)
    plain_numbers(axes.xaxis)
    axes.grid(axis="y")


def pays_figure(ratios: Sequence[float], bandwidths: Sequence[float], gain: np.ndarray) -> Figure:
    """Draw the modelled speedup by a slow device beside a fast one.

    Args:
        ratios: Of the two speeds, fast to slow.
        bandwidths: Between the two, in Gb/s.
        gain: The speedup, (bandwidths, ratios).
    """
    with ieee_style():
        figure = new_figure(2.5)
        axes = figure.add_subplot(xscale="log", yscale="log")
        mesh = axes.pcolormesh(
            ratios,
            bandwidths,
            gain,
            cmap="RdBu",
            norm=LogNorm(SPEEDUPS[0], SPEEDUPS[-1]),
            shading="gouraud",
            rasterized=True,
        )
        _draw_contours(axes, ratios, bandwidths, gain)
        axes.set_xlabel("Ratio of speeds, fast to slow")
        axes.set_ylabel("Bandwidth between the two (Gb/s)")
        plain_numbers(axes.xaxis)
        plain_numbers(axes.yaxis)
        _draw_colour_bar(figure, mesh)
        return figure


def _draw_contours(
    axes: Axes,
    ratios: Sequence[float],
    bandwidths: Sequence[float],
    gain: np.ndarray,
) -> None:
    levels = list(CONTOURS)
    widths = list(CONTOURS.values())
    lines = axes.contour(
        ratios,
        bandwidths,
        gain,
        levels=levels,
        colors=BLACK,
        linewidths=widths,
    )
    axes.clabel(lines, fmt="%g", fontsize=7)


def _draw_colour_bar(figure: Figure, mesh: Any) -> None:
    bar = figure.colorbar(mesh, label="Modelled speedup by the slow device", extend="both")
    bar.ax.minorticks_off()
    bar.set_ticks(SPEEDUPS, labels=[f"{speedup:g}" for speedup in SPEEDUPS])
