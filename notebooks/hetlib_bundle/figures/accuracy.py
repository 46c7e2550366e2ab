"""Scores by strategy, by class, and by kind of batch statistics."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hetlib.training.records import RunRecord, runs_frame
from hetlib_bundle.claims.verdict import interval
from hetlib_bundle.figures.style import STYLES, ieee_style, new_figure, sns


def accuracy_figure(records: Sequence[RunRecord], score: str = "oa") -> Figure:
    """Draw a score by strategy: a tick a seed, the mean and its 95 % t-interval; one panel a data set and model."""
    frame = runs_frame(records)
    order = [name for name in STYLES if name in set(frame.strategy)]
    groups = list(frame.groupby(["dataset", "model"]))
    with ieee_style(min(len(groups), 2)):
        figure = new_figure(0.7 + 0.24 * len(order))
        panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for axes, ((dataset, model), rows) in zip(panels, groups, strict=True):
            for y, name in enumerate(order):
                values = 100 * rows.loc[rows.strategy == name, score].to_numpy()
                colour, (mean, half) = STYLES[name]["color"], interval(values)
                axes.plot(values, np.full(len(values), y + 0.3), "|", color=colour, markersize=5)
                # one seed has no interval
                bar = {"xerr": np.nan_to_num(half, posinf=0.0), "capsize": 2}
                axes.errorbar(mean, y, fmt=STYLES[name]["marker"], color=colour, **bar)
            axes.set(yticks=range(len(order)), yticklabels=order, ylim=(len(order) - 0.4, -0.6))
            axes.set(
                xlabel=f"{'kappa' if score == 'kappa' else score.upper()} (%)",
                title=f"{dataset}, {model}",
            )
            axes.grid(axis="x")
        return figure


def confusion_figure(record: RunRecord) -> Figure:
    """Draw the confusion matrix of a run, in percent of each true class."""
    counts, names = np.asarray(record.confusion, dtype=float), record.dataset["classes"]
    percent = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    with ieee_style():
        figure = new_figure(2.9)
        axes = figure.add_subplot()
        bar = {"label": "Share of the true class (%)", "shrink": 0.8}
        sns.heatmap(
            percent,
            vmin=0,
            vmax=100,
            cmap="Blues",
            cbar_kws=bar,
            annot=True,
            fmt=".0f",
            square=True,
            ax=axes,
        )
        axes.set_xticks(axes.get_xticks(), names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(axes.get_yticks(), names, rotation=0)
        axes.set(xlabel="Predicted class", ylabel="True class")
        axes.tick_params(length=0)
        return figure


def statistics_figure(scores: pd.DataFrame, errors: pd.DataFrame, score: str = "oa") -> Figure:
    """Draw a score by kind of statistics (columns ``statistics``, ``oa`` ...) and how far running statistics are off.

    ``errors`` has one row a kind and layer: ``statistics``, ``layer``, ``mean`` and ``variance``.
    """
    order = list(dict.fromkeys(scores.statistics))
    names = ("equal", "uneven-plain", "uneven-plain-retuned", "balanced", "fastest-only")
    looks = {name: STYLES[strategy] for name, strategy in zip(order, names, strict=True)}
    with ieee_style(2):
        figure = new_figure(0.95 + 0.24 * len(order))
        left, *right = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
        for y, name in enumerate(order):
            values, colour = (
                100 * scores.loc[scores.statistics == name, score].to_numpy(),
                looks[name]["color"],
            )
            mean, half = interval(values)
            left.plot(values, np.full(len(values), y + 0.3), "|", color=colour, markersize=5)
            # one seed has no interval
            bar = {"xerr": np.nan_to_num(half, posinf=0.0), "capsize": 2}
            left.errorbar(mean, y, fmt=looks[name]["marker"], color=colour, **bar)
        left.set(yticks=range(len(order)), yticklabels=order, ylim=(len(order) - 0.4, -0.6))
        left.set_xlabel(f"{'kappa' if score == 'kappa' else score.upper()} (%)")
        left.grid(axis="x")
        labels = {
            "mean": "Error of running mean\n(standard deviations)",
            "variance": "Error of running\nvariance (fraction)",
        }
        for axes, (quantity, label) in zip(right, labels.items(), strict=True):
            for name, rows in errors.groupby("statistics", sort=False):
                axes.plot(
                    rows.layer,
                    rows[quantity],
                    label=name if axes is right[0] else None,
                    **looks[str(name)],
                )
            axes.set(
                xlabel="BatchNorm layer",
                ylabel=label,
                xticks=sorted(set(errors.layer)),
                ylim=(0, None),
            )
            axes.grid(axis="y")
        figure.legend(loc="outside upper center", ncols=4)
        return figure
