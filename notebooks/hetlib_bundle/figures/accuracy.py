"""Scores by strategy, by class, and by kind of batch statistics."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hetlib.training.records import RunRecord, runs_frame
from hetlib_bundle.figures.pieces import (
    draw_mean,
    draw_seeds,
    entries_of,
    legend_above,
    list_rows,
    panels_in_a_row,
)
from hetlib_bundle.figures.style import GREY, Look, ieee_style, looks_of, new_figure

TICKS_BELOW = 0.3  # of the seeds, under their mean, in rows
ROOM = 0.6  # above the first mean and below the last one's ticks, in rows

# Lines of floors: how they are drawn, and their names.
FLOOR: Look = {"color": GREY, "linestyle": ":", "label": "better of forest and logistic regression"}
GUESS: Look = {"color": GREY, "linestyle": "--", "label": "a guess"}

# Column of the errors of running statistics: what it is called.
ERRORS = {
    "mean": "Error of running mean\n(standard deviations)",
    "variance": "Error of running\nvariance (fraction)",
}


def accuracy_figure(
    records: Sequence[RunRecord],
    score: str = "oa",
    floors: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Draw a score by strategy: a tick a seed, the mean and its 95 % t-interval.

    Args:
        records: One or more runs of each strategy; a panel a data set and model.
        score: A score of the records: ``"oa"``, ``"aa"`` or ``"kappa"``.
        floors: OA in percent of ``forest``, ``logistic`` and a guess (``chance``) by data set; the
            better of the first two is drawn as a dotted line, the guess as a dashed one.
    """
    frame = runs_frame(records)
    looks = looks_of(frame.strategy)
    groups = list(frame.groupby(["dataset", "model"]))

    with ieee_style(min(len(groups), 2)):
        figure = new_figure((1.05 if floors else 0.85) + 0.24 * len(looks))
        panels = panels_in_a_row(figure, len(groups), sharey=True)
        for axes, ((dataset, model), rows) in zip(panels, groups, strict=True):
            _draw_scores(axes, rows.set_index("strategy")[score], looks)
            axes.set_xlabel(_in_percent(score))
            axes.set_title(f"{dataset}\n{model}")
            if floors is not None and dataset in floors:
                own = floors[str(dataset)]
                axes.axvline(max(own["forest"], own["logistic"]), **FLOOR)
                axes.axvline(own["chance"], **GUESS)
        entries: dict[str, Artist] = {}
        for axes in panels:
            entries |= entries_of(axes)
        if entries:
            legend_above(figure, 2, entries)
        return figure


def _draw_scores(axes: Axes, scores: pd.Series, looks: Mapping[str, Look]) -> None:
    """Draw a row a look, from the fractions with its name as index, in percent."""
    for y, (name, look) in enumerate(looks.items()):
        own = scores[scores.index == name]
        values = 100 * own.to_numpy()
        draw_seeds(axes, values, y + TICKS_BELOW, color=look["color"], markersize=5)
        draw_mean(axes, values, y, look)
    list_rows(axes, list(looks), ROOM)
    axes.grid(axis="x")


def _in_percent(score: str) -> str:
    """Return the label of a score's axis."""
    name = score
    if score != "kappa":
        name = score.upper()
    return f"{name} (%)"


def confusion_figure(record: RunRecord) -> Figure:
    """Draw the confusion matrix of a run, in percent of each true class.

    Args:
        record: The run's.
    """
    import seaborn as sns  # takes a second, and few notebooks draw with it

    names = record.dataset["classes"]
    counts = np.asarray(record.confusion, dtype=float)
    of_class = np.maximum(counts.sum(1, keepdims=True), 1)  # a class may have no images
    percent = 100 * counts / of_class

    bar = {"label": "Share of the true class (%)", "shrink": 0.8}
    with ieee_style():
        figure = new_figure(2.9)
        axes = figure.add_subplot()
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
        axes.set_xlabel("Predicted class")
        axes.set_ylabel("True class")
        axes.tick_params(length=0)
        return figure


def statistics_figure(scores: pd.DataFrame, errors: pd.DataFrame, score: str = "oa") -> Figure:
    """Draw a score by kind of batch statistics, and how far running statistics are off.

    Args:
        scores: One row a run: ``statistics`` (the kind) and the scores, as fractions.
        errors: One row a kind and BatchNorm layer: ``statistics``, ``layer``, ``mean`` in standard
            deviations and ``variance`` as a fraction.
        score: A column of ``scores``.
    """
    kinds = list(dict.fromkeys(scores.statistics))
    known = looks_of(kinds)  # of balanced its own; the others are no strategies
    looks = {kind: known[kind] for kind in kinds}

    with ieee_style(2):
        figure = new_figure(0.95 + 0.24 * len(kinds))
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
        _draw_scores(left, scores.set_index("statistics")[score], looks)
        left.set_xlabel(_in_percent(score))
        _draw_errors(middle, errors, "mean", looks)
        _draw_errors(right, errors, "variance", looks)
        legend_above(figure, 4, entries_of(middle))
        return figure


def _draw_errors(
    axes: Axes,
    errors: pd.DataFrame,
    quantity: str,
    looks: Mapping[str, Look],
) -> None:
    """Draw a column of the errors by layer, a line a kind of statistics."""
    for kind, rows in errors.groupby("statistics", sort=False):
        axes.plot(rows.layer, rows[quantity], label=kind, **looks[str(kind)])
    axes.set_xlabel("BatchNorm layer")
    axes.set_ylabel(ERRORS[quantity])
    axes.set_xticks(sorted(set(errors.layer)))
    axes.set_ylim(0, None)
    axes.grid(axis="y")
