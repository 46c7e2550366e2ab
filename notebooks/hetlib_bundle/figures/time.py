"""Steps and shares: what a clock saw."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hetlib.balanced.weights import effective_batch, replica_weights
from hetlib.planning.partition import Partition
from hetlib.planning.speed import SpeedModel
from hetlib.replicas.platform import Replica
from hetlib.training.records import PHASES, RunRecord
from hetlib.training.strategies import STRATEGIES
from hetlib_bundle.figures.style import STYLES, ieee_style, new_figure, sns

_WAIT: dict[str, Any] = {
    "color": "#E6E6E6",
    "hatch": "////",
    "edgecolor": "#8C8C8C",
    "linewidth": 0,
}


_PHASES = dict(
    zip(PHASES, ({"color": "#0072B2"}, _WAIT, {"color": "#E69F00"}, {"color": "k"}), strict=True)
)


def step_time_figure(models: Mapping[str, SpeedModel]) -> Figure:
    """Draw measured step times (marks) and the models through them against the local batch; one replica a line."""
    with ieee_style():
        figure = new_figure(2.2)
        axes = figure.add_subplot(
            xlabel="Local batch (samples)", ylabel="Compute time of a step (ms)"
        )
        looks = zip(
            list(STYLES.values()) * len(models),
            sns.color_palette("crest", len(models)),
            models.items(),
            strict=False,
        )
        for look, colour, (name, model) in looks:  # no strategy's colour
            axes.plot(
                model.batches,
                np.multiply(model.seconds, 1e3),
                label=name,
                **(look | {"color": colour}),
            )
        axes.set(xlim=(0, None), ylim=(0, None))
        axes.grid(axis="y")
        axes.legend(title="Replica")
        return figure


def _draw_shares(axes: Any, names: Sequence[str], plan: Partition) -> None:
    rows = np.arange(len(names))
    axes.bar_label(axes.barh(rows, plan.shares, 0.62, color="#0072B2"), padding=2)
    axes.set(xlabel=f"Share of the {plan.global_batch} samples", yticks=rows, yticklabels=names)
    axes.set(xlim=(0, 1.18 * max(plan.shares)), ylabel="Replica", ylim=(len(names) - 0.5, -0.5))


def _draw_step(axes: Any, plan: Partition) -> None:
    """Draw compute, wait and communication of each replica that takes part, in ms."""
    rows, compute = np.arange(len(plan.shares)), 1e3 * np.asarray(plan.compute)
    active, end = rows[compute > 0], compute.max()
    axes.barh(rows, compute, 0.62, label=f"compute, {plan.times}", **_PHASES["compute"])
    axes.barh(
        active,
        end - compute[active],
        0.62,
        left=compute[active],
        label=f"wait, {plan.times}",
        **_WAIT,
    )
    exchange = {"left": end, "label": f"communicate, {plan.times}", **_PHASES["communicate"]}
    if plan.communication:
        axes.barh(active, np.full(len(active), 1e3 * plan.communication), 0.62, **exchange)
    for row in rows[compute == 0]:
        axes.text(0, row, "  left out", va="center")
    axes.set(xlabel="Time of a step (ms)", xlim=(0, 1.04e3 * plan.step))


def shares_figure(
    names: Sequence[str], plan: Partition, measured: Sequence[float] | None = None
) -> Figure:
    """Draw each replica's share and its times in a step by the plan, beside compute times of a training if given."""
    with ieee_style(2):
        figure = new_figure(0.85 + 0.28 * len(names))
        left, right = figure.subplots(1, 2, sharey=True)
        _draw_shares(left, names, plan)
        _draw_step(right, plan)
        if measured is not None:
            times = np.where(plan.shares, 1e3 * np.asarray(measured), np.nan)
            right.plot(
                times,
                range(len(times)),
                "D",
                color="#D55E00",
                mec="white",
                label="compute, measured in training",
            )
            right.set_xlim(0, max(right.get_xlim()[1], 1.04 * np.nanmax(times)))
        figure.legend(loc="outside upper center", ncols=4)
        return figure


def designer_figure(names: Sequence[str], plan: Partition) -> Figure:
    """Draw a plan's shares, its predicted step, and what the plain mean would make of a sample's weight.

    The weight of a sample in the gradient is 1 (that is 1/B) under the balanced gradient, and B /
    (P n_r) under the plain mean over the P replicas that take part; the title gives the plain
    mean's effective batch.
    """
    with ieee_style(2):
        figure = new_figure(1.0 + 0.28 * len(names))
        left, middle, right = figure.subplots(1, 3, sharey=True)
        _draw_shares(left, names, plan)
        _draw_step(middle, plan)
        rows = np.flatnonzero(plan.shares)
        shares = [plan.shares[r] for r in rows]
        for name in ("balanced", "uneven-plain"):
            weights = (
                replica_weights(shares, STRATEGIES[name].weighting) / shares * plan.global_batch
            )
            right.plot(weights, rows, label=name, **(STYLES[name] | {"linestyle": "none"}))
        right.set_xlabel("Weight of a sample (1 = $1/B$)")
        right.set_xscale("log", base=2)
        low, high = right.get_xlim()
        right.set_xlim(min(low, 0.4), max(high, 2.5))
        right.xaxis.set_major_formatter("{x:g}")
        right.grid(axis="x")
        right.set_title(
            f"plain mean: effective batch {effective_batch(shares):.0f} of {plan.global_batch}"
        )
        figure.legend(loc="outside upper center", ncols=5)
        return figure


def timeline_figure(records: Sequence[RunRecord], first: int = 5, steps: int = 3) -> Figure:
    """Draw what each replica does in a few measured steps, one panel a record."""
    with ieee_style(2):
        figure = new_figure(0.75 + 0.62 * len(records))
        panels = np.atleast_1d(figure.subplots(len(records), 1, sharex=True))
        for axes, record in zip(panels, records, strict=True):
            seconds = np.stack(
                [np.asarray(record.steps[phase])[first : first + steps] for phase in PHASES]
            )
            starts = np.cumsum([0, *seconds.sum(0).max(1)])[:-1, None]  # (steps, 1)
            begins = starts + seconds.cumsum(0) - seconds  # (phases, steps, replicas)
            for p, phase in enumerate(PHASES):
                for rank in range(len(record.platform)):
                    label = phase if rank == 0 and axes is panels[0] else None
                    lengths, left = 1e3 * seconds[p, :, rank], 1e3 * begins[p, :, rank]
                    axes.barh(rank, lengths, 0.66, left=left, label=label, **_PHASES[phase])
            names = [
                f"{rank} ({Replica(**replica).name})"
                for rank, replica in enumerate(record.platform)
            ]
            axes.set(
                yticks=range(len(names)),
                yticklabels=names,
                ylim=(len(names) - 0.5, -0.5),
                xlim=(0, None),
            )
            axes.set_title(
                f"{record.experiment['strategy']}, shares {'/'.join(map(str, record.shares))}",
                loc="left",
            )
        panels[-1].set_xlabel(f"Measured time over {steps} steps (ms)")
        figure.supylabel("Replica")
        figure.legend(loc="outside upper center", ncols=4)
        return figure
