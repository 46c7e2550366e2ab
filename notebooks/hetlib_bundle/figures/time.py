"""Steps: what a clock saw."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hetlib.balanced.shares import slashed
from hetlib.planning.speed import SpeedModel
from hetlib.replicas.platform import Replica
from hetlib.training.records import PHASES, RunRecord
from hetlib_bundle.figures.pieces import (
    entries_of,
    legend_above,
    list_rows,
    panels_in_a_column,
)
from hetlib_bundle.figures.style import (
    PHASE_LOOKS,
    STYLES,
    ieee_style,
    new_figure,
    shades,
)

BAR = 0.66  # height of a replica's bar, in rows


def step_time_figure(models: Mapping[str, SpeedModel]) -> Figure:
    """Draw step times against the local batch, one replica a line.

    Args:
        models: Step models by replica; marks are what was measured.
    """
    with ieee_style():
        figure = new_figure(2.2)
        axes = figure.add_subplot()
        styles = itertools.cycle(STYLES.values())
        colours = iter(shades(len(models)))
        for name, model in models.items():
            look = next(styles) | {"color": next(colours)}  # no strategy's colour
            milliseconds = np.multiply(model.seconds, 1e3)
            axes.plot(model.batches, milliseconds, label=name, **look)
        axes.set_xlabel("Local batch (samples)")
        axes.set_ylabel("Compute time of a step (ms)")
        axes.set_xlim(0, None)
        axes.set_ylim(0, None)
        axes.grid(axis="y")
        axes.legend(title="Replica")
        return figure


def timeline_figure(records: Sequence[RunRecord], first: int = 5, steps: int = 3) -> Figure:
    """Draw what each replica does in a few measured steps.

    Args:
        records: Of timed runs, a panel each.
        first: The first step that is drawn, from 0.
        steps: How many are drawn.
    """
    with ieee_style(2):
        figure = new_figure(0.75 + 0.62 * len(records))
        panels = panels_in_a_column(figure, len(records), sharex=True)
        for axes, record in zip(panels, records, strict=True):
            _draw_timeline(axes, record, first, steps)
        panels[-1].set_xlabel(f"Measured time over {steps} steps (ms)")
        figure.supylabel("Replica")
        legend_above(figure, 4, entries_of(panels[0]))
        return figure


def _draw_timeline(axes: Axes, record: RunRecord, first: int, steps: int) -> None:
    """Draw a row a replica; each step begins when the slowest has ended the one before."""
    drawn = slice(first, first + steps)
    all_steps = np.stack([record.steps[phase] for phase in PHASES])
    seconds = all_steps[:, drawn]  # (phases, steps, replicas)
    lengths = 1e3 * seconds
    begins = 1e3 * _begins(seconds)
    for p, phase in enumerate(PHASES):
        look = PHASE_LOOKS[phase] | {"label": phase}
        for rank in range(len(record.platform)):
            left = begins[p, :, rank]
            axes.barh(rank, lengths[p, :, rank], BAR, left=left, **look)
            look["label"] = None  # named once

    names = []
    for rank, replica in enumerate(record.platform):
        names.append(f"{rank} ({Replica(**replica).name})")
    list_rows(axes, names)
    axes.set_xlim(0, None)

    shares = slashed(record.shares)
    axes.set_title(f"{record.experiment['strategy']}, shares {shares}", loc="left")


def _begins(seconds: np.ndarray) -> np.ndarray:
    """Return when each phase begins, from what each one takes: (phases, steps, replicas)."""
    longest = seconds.sum(0).max(1)  # (steps,)
    starts = np.cumsum([0, *longest])[:-1, None]  # (steps, 1)
    return starts + seconds.cumsum(0) - seconds
