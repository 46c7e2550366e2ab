"""Plans: the replicas' shares, what a step takes with them, and what they mean for a sample."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hetlib.balanced.weights import effective_batch, replica_weights
from hetlib.planning.partition import Partition
from hetlib.training.strategies import STRATEGIES
from hetlib_bundle.figures.pieces import legend_above, list_rows, plain_numbers
from hetlib_bundle.figures.style import (
    BLUE,
    PHASE_LOOKS,
    STYLES,
    VERMILION,
    Look,
    ieee_style,
    new_figure,
)

BAR = 0.62  # height of a replica's bar, in rows
BESIDE_SHARES = 1.18  # the axis ends here times the largest share: room for the numbers
BESIDE_STEP = 1.04  # and here times the step

# Weights that the axis shows at the least.
LEAST_WEIGHT = 0.4
MOST_WEIGHT = 2.5

MEASURED: Look = {
    "color": VERMILION,
    "markeredgecolor": "white",
    "label": "compute, measured in training",
}


def shares_figure(
    names: Sequence[str],
    plan: Partition,
    measured: Sequence[float] | None = None,
) -> Figure:
    """Draw each replica's share and its times in a step by the plan.

    Args:
        names: Of the replicas.
        plan: Theirs.
        measured: Compute times of the replicas in a training, in seconds, to be drawn beside the
            plan's.
    """
    with ieee_style(2):
        figure = new_figure(0.85 + 0.28 * len(names))
        left, right = figure.subplots(1, 2, sharey=True)
        _draw_shares(left, names, plan)
        _draw_step(right, plan)
        if measured is not None:
            _draw_measured(right, plan, measured)
        legend_above(figure, 4)
        return figure


def designer_figure(names: Sequence[str], plan: Partition) -> Figure:
    """Draw a plan's shares, its step, and what the plain mean would make of a sample's weight.

    The weight of a sample in the gradient is 1 (that is 1/B) under the balanced gradient, and B /
    (P n_r) under the plain mean over the P replicas that take part; the title gives the plain
    mean's effective batch.

    Args:
        names: Of the replicas.
        plan: Theirs.
    """
    with ieee_style(2):
        figure = new_figure(1.0 + 0.28 * len(names))
        left, middle, right = figure.subplots(1, 3, sharey=True)
        _draw_shares(left, names, plan)
        _draw_step(middle, plan)
        _draw_weights(right, plan)
        legend_above(figure, 5)
        return figure


def _draw_shares(axes: Axes, names: Sequence[str], plan: Partition) -> None:
    rows = np.arange(len(names))
    bars = axes.barh(rows, plan.shares, BAR, color=BLUE)
    axes.bar_label(bars, padding=2)
    list_rows(axes, names)
    axes.set_xlim(0, BESIDE_SHARES * max(plan.shares))
    axes.set_xlabel(f"Share of the {plan.global_batch} samples")
    axes.set_ylabel("Replica")


def _draw_step(axes: Axes, plan: Partition) -> None:
    """Draw compute, wait and communication of each replica that takes part, in ms."""
    rows = np.arange(len(plan.shares))
    compute = 1e3 * np.asarray(plan.compute)
    look = PHASE_LOOKS["compute"] | {"label": f"compute, {plan.times}"}
    axes.barh(rows, compute, BAR, **look)

    end = compute.max()
    active = rows[compute > 0]
    own = compute[active]
    look = PHASE_LOOKS["wait"] | {"label": f"wait, {plan.times}"}
    axes.barh(active, end - own, BAR, left=own, **look)

    if plan.communication:
        exchange = np.full(len(active), 1e3 * plan.communication)
        look = PHASE_LOOKS["communicate"] | {"label": f"communicate, {plan.times}"}
        axes.barh(active, exchange, BAR, left=end, **look)

    for row in rows[compute == 0]:
        axes.text(0, row, "  left out", va="center")
    axes.set_xlabel("Time of a step (ms)")
    axes.set_xlim(0, 1e3 * BESIDE_STEP * plan.step)


def _draw_measured(axes: Axes, plan: Partition, measured: Sequence[float]) -> None:
    """Draw compute times in seconds as marks, of the replicas that take part."""
    times = np.where(plan.shares, 1e3 * np.asarray(measured), np.nan)
    axes.plot(times, range(len(times)), "D", **MEASURED)
    _, end = axes.get_xlim()
    axes.set_xlim(0, max(end, BESIDE_STEP * np.nanmax(times)))


def _draw_weights(axes: Axes, plan: Partition) -> None:
    """Draw the weight of a sample on each replica that takes part."""
    rows = np.flatnonzero(plan.shares)
    shares = [plan.shares[row] for row in rows]
    for name in ("balanced", "uneven-plain"):
        weights = replica_weights(shares, STRATEGIES[name].weighting)
        of_sample = weights / shares * plan.global_batch
        look = STYLES[name] | {"linestyle": "none"}
        axes.plot(of_sample, rows, label=name, **look)

    axes.set_xlabel("Weight of a sample (1 = $1/B$)")
    axes.set_xscale("log", base=2)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, LEAST_WEIGHT), max(high, MOST_WEIGHT))
    plain_numbers(axes.xaxis)
    axes.grid(axis="x")

    effective = effective_batch(shares)
    axes.set_title(f"plain mean: effective batch {effective:.0f} of {plan.global_batch}")
