"""Records and values in, figures out, at the size of an IEEE column; the widgets call the same functions."""

import base64
import io
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import lazy_loader as lazy
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

from hetlib.experiment import STRATEGIES
from hetlib.gradient import effective_batch, replica_weights
from hetlib.partition import Partition
from hetlib.platform import Replica
from hetlib.records import PHASES, RunRecord
from hetlib.speed import SpeedModel

from .products import runs_frame
from .verdict import interval

sns: Any = lazy.load("seaborn")  # which takes a second, and few notebooks draw with it
mpl.rcParams["pdf.fonttype"] = 42  # read when a figure is saved: TrueType, which IEEE asks for
# One colour (Okabe and Ito), marker and line a strategy, in every figure.
STYLES: dict[str, dict[str, Any]] = {
    "single": {"color": "#000000", "marker": "o", "linestyle": "-"},
    "equal": {"color": "#0072B2", "marker": "s", "linestyle": "--"},
    "uneven-plain": {"color": "#D55E00", "marker": "^", "linestyle": "-."},
    "uneven-plain-retuned": {
        "color": "#E69F00",
        "marker": "v",
        "linestyle": (0, (3, 1, 1, 1, 1, 1)),
    },
    "speed-weighted": {"color": "#CC79A7", "marker": "X", "linestyle": ":"},
    "balanced": {"color": "#009E73", "marker": "D", "linestyle": (0, (5, 1))},
    "fastest-only": {"color": "#56B4E9", "marker": "P", "linestyle": (0, (1, 1))},
}
_WAIT: dict[str, Any] = {
    "color": "#E6E6E6",
    "hatch": "////",
    "edgecolor": "#8C8C8C",
    "linewidth": 0,
}
_PHASES = dict(
    zip(PHASES, ({"color": "#0072B2"}, _WAIT, {"color": "#E69F00"}, {"color": "k"}), strict=True)
)


def ieee_style(columns: int = 1) -> AbstractContextManager[None]:
    """Return a context with the letter's type: one column (3.5 in) or two (7.16 in), 8 pt serif, STIX maths."""
    if columns not in (1, 2):
        raise ValueError(f"`columns` is {columns!r}; allowed are 1 and 2.")
    width = {1: 3.5, 2: 7.16}[columns]
    settings: dict[Any, Any] = {"figure.figsize": (width, 0.62 * width)}
    settings |= {
        "font.family": "STIXGeneral",
        "mathtext.fontset": "stix",
        "font.size": 8,
        "hatch.linewidth": 0.4,
    }
    settings |= dict.fromkeys(
        ("axes.titlesize", "axes.labelsize", "legend.fontsize", "figure.labelsize"), 8
    )
    settings |= dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), 7.5)
    settings |= dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width"), 0.6)
    settings |= {"lines.linewidth": 1.1, "lines.markersize": 4, "legend.frameon": False}
    settings |= {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.linewidth": 0.4,
        "grid.color": "#D9D9D9",
    }
    return mpl.rc_context(
        settings | {"axes.axisbelow": True, "legend.handlelength": 2.8, "legend.columnspacing": 1.2}
    )


class RepeatableLayout(ConstrainedLayoutEngine):
    """A constrained layout with places to a millionth of the figure.

    The solver behind it visits its variables in the order of their addresses, so that the last bit
    of a place differs between processes; where that decides which way a pixel is rounded, so would
    the picture.
    """

    def execute(self, fig: Any) -> None:
        """Lay out the figure."""
        super().execute(fig)
        for part in fig.subfigs:
            part.bbox_relative.set_points(part.bbox_relative.get_points().round(6))
        for axes in fig.axes:
            laid_out = axes.get_in_layout()
            axes.set_position(Bbox(axes.get_position(original=True).get_points().round(6)))
            axes.set_in_layout(laid_out)  # which setting a position ends


class _Picture(Figure):
    """A figure that a notebook shows whatever its backend is."""

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=200)
        text = base64.b64encode(buffer.getvalue()).decode()
        return {"image/png": text}, {"image/png": {"width": round(self.get_figwidth() * 130)}}


def _figure(height: float) -> Figure:
    return _Picture(figsize=(mpl.rcParams["figure.figsize"][0], height), layout=RepeatableLayout())


def step_time_figure(models: Mapping[str, SpeedModel]) -> Figure:
    """Draw measured step times (marks) and the models through them against the local batch; one replica a line."""
    with ieee_style():
        figure = _figure(2.2)
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
        figure = _figure(0.85 + 0.28 * len(names))
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
        figure = _figure(1.0 + 0.28 * len(names))
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


def weight_figure(shares: Sequence[int], speeds: Sequence[float]) -> Figure:
    """Draw the weight of one sample in the gradient, by the replica that holds it, under each strategy; 1 is 1/B."""
    with ieee_style():
        figure = _figure(2.3)
        axes = figure.add_subplot(xlabel="Share of the replica that holds the sample (samples)")
        for name in ("balanced", "uneven-plain", "speed-weighted"):
            weights = (
                replica_weights(shares, STRATEGIES[name].weighting, speeds) / shares * sum(shares)
            )
            axes.plot(range(len(shares)), weights, label=name, **STYLES[name])
        axes.set(ylabel="Weight of the sample (1 = $1/B$)", yscale="log")
        axes.set_xticks(range(len(shares)), [str(share) for share in shares])
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(axis="y")
        figure.legend(loc="outside upper center", ncols=3)
        return figure


def effective_batch_figure(batch: int, drawn: pd.DataFrame | None = None) -> Figure:
    """Draw the effective batch of two replicas against the smaller share; ``drawn``: share, strategy, effective."""
    with ieee_style():
        figure = _figure(2.3)
        axes = figure.add_subplot(
            xlabel="Share of the slower replica (samples)", ylabel="Effective batch (samples)"
        )
        pairs = [(batch - n, n) for n in range(1, batch // 2 + 1)]
        for name, weighting in (("balanced", "samples"), ("uneven-plain", "mean")):
            look, values = (
                STYLES[name],
                [effective_batch(pair, replica_weights(pair, weighting)) for pair in pairs],
            )
            label = f"{name}, formula"
            axes.plot(
                [n for _, n in pairs],
                values,
                color=look["color"],
                linestyle=look["linestyle"],
                label=label,
            )
            if drawn is not None:
                own = drawn[drawn.strategy == name]
                axes.plot(
                    own.share,
                    own.effective,
                    look["marker"],
                    color=look["color"],
                    label=f"{name}, drawn",
                )
        axes.set(xlim=(0, None), ylim=(0, 1.12 * batch))
        axes.grid(axis="y")
        figure.legend(loc="outside upper center", ncols=2)
        return figure


def timeline_figure(records: Sequence[RunRecord], first: int = 5, steps: int = 3) -> Figure:
    """Draw what each replica does in a few measured steps, one panel a record."""
    with ieee_style(2):
        figure = _figure(0.75 + 0.62 * len(records))
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


def accuracy_figure(records: Sequence[RunRecord], score: str = "oa") -> Figure:
    """Draw a score by strategy: a tick a seed, the mean and its 95 % t-interval; one panel a data set and model."""
    frame = runs_frame(records)
    order = [name for name in STYLES if name in set(frame.strategy)]
    groups = list(frame.groupby(["dataset", "model"]))
    with ieee_style(min(len(groups), 2)):
        figure = _figure(0.7 + 0.24 * len(order))
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
        figure = _figure(2.9)
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
        figure = _figure(0.95 + 0.24 * len(order))
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


# Scaling (modelled) and drift

_FOLLOWS: dict[str, dict[str, Any]] = {
    "static": {"color": "#D55E00", "linestyle": "-", "linewidth": 0.9},
    "proportional": {"color": "#CC79A7", "linestyle": (0, (3, 1)), "linewidth": 0.9},
    "re-fit": {"color": "#009E73", "linestyle": "-", "linewidth": 1.1},
    "optimum": {"color": "#000000", "linestyle": (0, (1, 1)), "linewidth": 1.0},
}


def scaling_figure(
    by_replicas: pd.DataFrame, by_ratio: pd.DataFrame, by_communication: pd.DataFrame
) -> Figure:
    """Draw modelled speedup over one fast replica against replicas, ratio and communication; rows of `scaling`."""
    with ieee_style(2):
        figure = _figure(2.6)
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
        figure = _figure(2.2)
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
        figure = _figure(2.5)
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


def drift_figure(
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, Sequence[tuple[int, Any]]]]],
) -> Figure:
    """Draw step time against step, one panel a title: for each kind its seconds ``(steps,)`` and its plans.

    A triangle marks the first step of a new plan.
    """
    with ieee_style(2):
        figure = _figure(0.7 + 1.35 * len(panels))
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
