"""More replicas, other ratios of speed, slower links: modelled."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hetlib_bundle.figures.style import STYLES, ieee_style, new_figure


def scaling_figure(
    by_replicas: pd.DataFrame, by_ratio: pd.DataFrame, by_communication: pd.DataFrame
) -> Figure:
    """Draw modelled speedup over one fast replica against replicas, ratio and communication; rows of `scaling`."""
    with ieee_style(2):
        figure = new_figure(2.6)
        panels = figure.subplots(1, 3)
        columns = ("replicas", "ratio", "communication")
        for axes, rows, column in zip(
            panels, (by_replicas, by_ratio, by_communication), columns, strict=True
        ):
            ideal = rows.drop_duplicates(column)
            line = {
                "color": "#8C8C8C",
                "linewidth": 2.2,
                "alpha": 0.6,
                "label": "ideal (sum of speeds)",
            }
            axes.plot(ideal[column], ideal.ideal, **line)
            for name in ("fastest-only", "equal", "balanced"):
                own = rows[rows.strategy == name]
                axes.plot(own[column], own.speedup, label=name, **STYLES[name])
            axes.grid(axis="y")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_major_formatter("{x:g}")
        panels[0].set(
            xscale="log",
            yscale="log",
            xlabel="Replicas, half of them slow",
            ylabel="Modelled speedup",
        )
        panels[1].set(xscale="log", xlabel="Ratio of speeds, two replicas", ylim=(0, None))
        panels[1].set_xscale("log", base=2)
        panels[1].xaxis.set_major_formatter("{x:g}")
        panels[2].set(xlabel="Communication / compute of the fast one", ylim=(0, None))
        panels[0].xaxis.set_major_formatter("{x:g}")
        panels[0].yaxis.set_major_formatter("{x:g}")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4)
        return figure


def efficiency_figure(by_replicas: pd.DataFrame) -> Figure:
    """Draw modelled speedup as a fraction of the ideal against the number of replicas, one panel a ratio of speeds."""
    groups = list(by_replicas.groupby("ratio"))
    with ieee_style(2):
        figure = new_figure(2.2)
        panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for axes, (ratio, rows) in zip(panels, groups, strict=True):
            for name in ("equal", "balanced"):
                own = rows[rows.strategy == name]
                axes.plot(own.replicas, own.efficiency, label=name, **STYLES[name])
            axes.set(xscale="log", xlabel="Replicas", ylim=(0, 1.02))
            axes.set_title(f"Slow half {ratio:g} times slower", loc="left")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.grid(axis="y")
        panels[0].set_ylabel("Modelled efficiency")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
        return figure


def pays_figure(ratios: Sequence[float], bandwidths: Sequence[float], gain: np.ndarray) -> Figure:
    """Draw the modelled speedup ``gain`` (bandwidths, ratios) by a slow device beside a fast one; Gb/s."""
    with ieee_style():
        figure = new_figure(2.5)
        axes = figure.add_subplot(xscale="log", yscale="log")
        norm = mpl.colors.LogNorm(0.5, 2)
        mesh = axes.pcolormesh(
            ratios, bandwidths, gain, cmap="RdBu", norm=norm, shading="gouraud", rasterized=True
        )
        lines = axes.contour(
            ratios,
            bandwidths,
            gain,
            levels=[0.5, 1, 1.1, 1.5],
            colors="k",
            linewidths=[0.5, 1.4, 0.5, 0.5],
        )
        axes.clabel(lines, fmt="%g", fontsize=7)
        axes.set(xlabel="Ratio of speeds, fast to slow", ylabel="Bandwidth between the two (Gb/s)")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        bar = figure.colorbar(mesh, label="Modelled speedup by the slow device", extend="both")
        bar.ax.minorticks_off()
        bar.set_ticks([0.5, 0.7, 1, 1.4, 2], labels=["0.5", "0.7", "1", "1.4", "2"])
        return figure
