"""What the plain mean loses beside others: by length of the training, and by kind of shard."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hetlib_bundle.figures.pieces import entries_of, legend_above, panels_in_a_row, plain_numbers
from hetlib_bundle.figures.regime import DAGGER
from hetlib_bundle.figures.style import (
    GREY,
    STYLES,
    VERMILION,
    Look,
    ieee_style,
    new_figure,
)
from hetlib_bundle.studies.many.tables import AT_CHANCE, chosen, differences, summary

# How conditions are drawn beside the strategies' own looks, and what they are called.
LOOKS: dict[str, Look] = {
    "plain": STYLES["uneven-plain"],
    "small": {"color": GREY, "marker": "s", "linestyle": ":"},
}
# Steps of a mark over those of the training, so that bars stand side by side.
APART = {"plain": 0.94, "small": 1 / 0.94}

NAMES = {
    "plain": "plain mean, i.i.d.",
    "small": r"one process, batch $n_{\mathrm{eff}}$",
}


def small_batch_figure(runs: pd.DataFrame, shares: Sequence[str]) -> Figure:
    """Draw OA minus that of one process with the whole batch: the plain mean, and a batch of n_eff.

    Differences are paired by seed; marks are means with the 95 % t-interval, and a dagger where one
    of the runs is not better than a guess.

    Args:
        runs: From `.studies.many.tables.runs_table`.
        shares: Those to draw, a row of panels each, such as "107/21".
    """
    single = chosen(runs, "single")
    recipes = list(dict.fromkeys(single.recipe))
    with ieee_style(2):
        figure = new_figure(0.5 + 1.5 * len(shares))
        panels = figure.subplots(len(shares), len(recipes), squeeze=False, sharex=True)
        for line, share in zip(panels, shares, strict=True):
            for axes, recipe in zip(line, recipes, strict=True):
                used = runs[(runs.recipe == recipe) & (runs.shares == share)]
                _draw_curves(axes, used, single[single.recipe == recipe])
            line[0].set_ylabel(f"{share}\nOA − OA of one\nprocess (points)")
        for axes, recipe in zip(panels[0], recipes, strict=True):
            axes.set_title(recipe)
        for axes in panels[-1]:
            axes.set_xlabel("Steps")
        legend_above(figure, len(NAMES), entries_of(panels[0, 0]))
        return figure


def _draw_curves(axes: Axes, runs: pd.DataFrame, single: pd.DataFrame) -> None:
    """Draw differences to one process over the length of the training."""
    axes.axhline(0, color=GREY, linewidth=0.6)
    for kind, name in NAMES.items():
        means = summary(differences(chosen(runs, kind), single), ["steps"]).sort_values("steps")
        bars = [means.effect - means.low, means.high - means.effect]
        places = means.steps * APART[kind]
        axes.errorbar(places, means.effect, yerr=bars, label=name, capsize=2, **LOOKS[kind])
        for steps, effect, lost in zip(places, means.effect, means[AT_CHANCE], strict=True):
            if lost:
                axes.annotate(DAGGER, (steps, effect), (3, 3), textcoords="offset points")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(single.steps.unique()))
    plain_numbers(axes.xaxis)
    axes.grid(axis="y")


# Marks beside the middle of a row, in rows, and their colours.
BESIDE = {"balanced": (-0.15, VERMILION), "random": (0.15, GREY)}

# What the differences are of.
LABELS = {
    "balanced": "plain mean minus balanced, same shards",
    "random": "plain mean minus plain mean with random shards",
}

# Kinds of sampling, as rows.
SHARDS = {"iid": "i.i.d.", "half": "half by class"}


def lasting_figure(table: pd.DataFrame, steps: int, shares: str) -> Figure:
    """Draw what the plain mean loses with shards, and what remains of it beside random ones.

    A dagger stands where one of the runs is not better than a guess.

    Args:
        table: From `.studies.many.tables.shards_table`.
        steps: Length of the training.
        shares: Of the platform, such as "90/26/9/3".
    """
    found = table[(table.steps == steps) & (table.shares == shares)]
    recipes = list(dict.fromkeys(found.recipe))
    kinds = list(dict.fromkeys(found.sampling))
    with ieee_style(2):
        figure = new_figure(0.75 + 0.24 * len(kinds))
        panels = panels_in_a_row(figure, len(recipes), sharey=True)
        for axes, recipe in zip(panels, recipes, strict=True):
            for beside in BESIDE:
                part = found[(found.recipe == recipe) & (found.beside == beside)]
                _draw_lasting(axes, part, kinds, beside)
            axes.axvline(0, color=GREY, linewidth=0.6)
            axes.set_title(recipe)
            axes.grid(axis="x")
        figure.supxlabel("Difference of test OA (points)")
        panels[0].set_yticks(range(len(kinds)), [SHARDS.get(kind, kind) for kind in kinds])
        panels[0].invert_yaxis()
        legend_above(figure, len(BESIDE), entries_of(panels[0]))
        return figure


def _draw_lasting(axes: Axes, part: pd.DataFrame, kinds: Sequence[str], beside: str) -> None:
    """Draw the effects beside one kind of runs, and mark those with a lost one."""
    offset, color = BESIDE[beside]
    places = [kinds.index(kind) + offset for kind in part.sampling]
    bars = [part.effect - part.low, part.high - part.effect]
    look: Look = {"fmt": "o", "color": color, "capsize": 2, "label": LABELS[beside]}
    axes.errorbar(part.effect, places, xerr=bars, **look)
    for end, place, lost in zip(part.high, places, part[AT_CHANCE], strict=True):
        if lost:
            axes.annotate(DAGGER, (end, place), (3, 0), textcoords="offset points", va="center")
