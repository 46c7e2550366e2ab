"""Fine-tuning: what strategies lose to one process, by whose statistics BatchNorm takes."""

import math

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hetlib_bundle.figures.pieces import (
    draw_mean,
    draw_seeds,
    entries_of,
    legend_above,
    list_rows,
)
from hetlib_bundle.figures.style import BLACK, GREY, STYLES, Look, ieee_style, new_figure

# Strategy and whose rate it has: its name, its look, and where its marks lie beside the middle of a
# row, in rows.
MARKED: dict[tuple[str, str], tuple[str, Look, float]] = {
    ("balanced", "one process's"): ("balanced gradient", STYLES["balanced"], -0.25),
    ("uneven-plain", "one process's"): ("plain mean", STYLES["uneven-plain"], 0.0),
    ("uneven-plain", "own"): ("plain mean, own rate", STYLES["uneven-plain-retuned"], 0.25),
}

# Above the first row and below the last, in rows.
ROOM = 0.55

# Height of a row, of what a panel has beside its rows, and of the rest, in inches.
ROW = 0.24
BESIDE = 0.35
REST = 0.6

MOST_BESIDE = 3  # panels in a line

Place = tuple[str, str, str]  # part of the network, shares, way to draw: a panel


def finetune_figure(runs: pd.DataFrame) -> Figure:
    """Draw the differences of test OA to one process: ticks are seeds, marks their means.

    Args:
        runs: From `.studies.finetune_tables.runs_table`.

    Returns:
        A panel for each part of the network, shares and way to draw that was trained; in it a row
        for whose statistics are taken.
    """
    uneven = runs[runs.strategy != "single"]
    columns = [uneven.part, uneven.shares, uneven.draws]
    places: list[Place] = list(dict.fromkeys(zip(*columns, strict=True)))
    rows = list(dict.fromkeys(uneven.statistics))
    beside = min(len(places), MOST_BESIDE)
    lines = math.ceil(len(places) / beside)
    with ieee_style(2):
        figure = new_figure(REST + lines * (BESIDE + ROW * len(rows)))
        grid = figure.subplots(lines, beside, squeeze=False, sharex=True, sharey=True)
        panels = grid.flat[: len(places)]
        for axes, place in zip(panels, places, strict=True):
            _draw_panel(axes, uneven, place, rows)
        for axes in grid.flat[len(places) :]:
            axes.remove()
        figure.supxlabel("Test OA minus that of one process (points)")
        entries: dict[str, Artist] = {}
        for axes in panels:
            entries |= entries_of(axes)
        legend_above(figure, len(MARKED), entries)
        return figure


def _draw_panel(axes: Axes, runs: pd.DataFrame, place: Place, rows: list[str]) -> None:
    """Draw one part, shares and way to draw."""
    part, shares, draws = place
    here = (runs.part == part) & (runs.shares == shares) & (runs.draws == draws)
    axes.axvline(0, color=BLACK, linewidth=0.6)
    across = axes.get_yaxis_transform()  # a fraction of the width, and rows
    for y, statistics in enumerate(rows):
        if statistics not in set(runs.statistics[here]):
            look: Look = {"color": GREY, "size": 7, "ha": "center", "va": "center"}
            axes.text(0.5, y, "not trained", transform=across, **look)
    for (strategy, rate), marks in MARKED.items():
        found = runs[here & (runs.strategy == strategy) & (runs.rate == rate)]
        _draw_marks(axes, found, rows, *marks)
    list_rows(axes, [f"BatchNorm {statistics}" for statistics in rows], ROOM)
    axes.set_title(f"{part}, {shares}, {draws}")
    axes.grid(axis="x")


def _draw_marks(
    axes: Axes, runs: pd.DataFrame, rows: list[str], name: str, look: Look, beside: float
) -> None:
    """Draw one strategy, a mark a row; the first one is named."""
    label = name
    for statistics, found in runs.groupby("statistics", sort=False):
        y = rows.index(str(statistics)) + beside
        values = found["OA - single"].to_numpy()
        draw_seeds(axes, values, y, color=look["color"], alpha=0.45, markersize=3)
        draw_mean(axes, values, y, look, label=label, markersize=3, elinewidth=0.9)
        label = "_"  # named once
