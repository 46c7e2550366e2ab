"""One factor at a time around the base setting of `07_accuracy`: what is changed, and a figure of what comes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hetlib.experiment import Experiment
from hetlib.models import MODELS
from hetlib.records import RunRecord

from .figures import STYLES, _figure, ieee_style
from .verdict import interval

__all__ = [
    "DIFFERENCE",
    "SETTINGS",
    "changed",
    "differences",
    "model_settings",
    "one_process",
    "settings_figure",
]

DIFFERENCE = "OA - single"  # percentage points
# Setting: fields of `Experiment` that differ from the base. A line here is a setting more; names
# have no spaces.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "base": {},
    "mild-shares": {"shares": (64, 32, 16, 16)},
    "two-replicas": {"shares": (110, 18)},
    "eight-replicas": {"shares": (64, 32, 16, 8, 4, 2, 1, 1)},
    "Adam": {"optimizer": "Adam"},
    "local-BatchNorm": {"model_options": {"norm": "batch"}},
    "balanced-BatchNorm": {"model_options": {"norm": "balanced"}},
    "fixed-shards": {"dataset_options": {"shards": True}},
}


def model_settings(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return a setting for each CNN: with GroupNorm or else the global batch's BatchNorm, if the network offers one."""
    norms = {
        name: next((n for n in ("group", "balanced") if n in MODELS[name]), None) for name in names
    }
    return {
        name: {"model": name, "model_options": {"norm": norm} if norm else {}}
        for name, norm in norms.items()
    }


def changed(base: Experiment, changes: Mapping[str, Any]) -> Experiment:
    """Return the base with changes; options of the data set are added to its own, and scored once, at the end."""
    fields = dict(changes)
    if "shares" in fields:
        fields["global_batch"] = sum(fields["shares"])
    if "optimizer" in fields:
        fields.setdefault("optimizer_options", None)  # not those of the base's
    if "dataset_options" in fields:
        fields["dataset_options"] = {**base.dataset_options, **fields["dataset_options"]}
    return replace(base, **fields, evaluate_every=0) if fields else base


def one_process(case: Experiment, base: Experiment) -> Experiment:
    """Return the run that a setting is compared with.

    Shares of the same global batch, and who owns which samples, make no difference to one process:
    it is the base's.
    """
    shares = base.shares if case.global_batch == base.global_batch else case.shares
    options = {name: value for name, value in case.dataset_options.items() if name != "shards"}
    common: dict[str, Any] = {
        "strategy": "single",
        "shares": shares,
        "evaluate_every": base.evaluate_every,
    }
    return replace(case, **common, dataset_options=options)


def differences(
    setting: str, runs: Sequence[RunRecord], references: Sequence[RunRecord]
) -> pd.DataFrame:
    """Return one row a run: its cell, strategy, seed, rate, and its test OA minus the reference's of the same seed."""
    oa = {run.experiment["seed"]: run.scores["oa"] for run in references}
    rows = []
    for run in runs:
        about = {name: run.experiment[name] for name in ("dataset", "model", "strategy", "seed")}
        difference = 100 * (run.scores["oa"] - oa[about["seed"]])
        rows.append({"setting": setting, **about, "lr": run.lr, DIFFERENCE: difference})
    return pd.DataFrame(rows)


def settings_figure(table: pd.DataFrame, margin: float = 1.0) -> Figure:
    """Draw the rows of `differences` by setting and strategy: a tick a seed, the mean with its 95 % t-interval.

    The band is -margin..margin around one process.
    """
    order, strategies = list(dict.fromkeys(table.setting)), ("balanced", "uneven-plain")
    with ieee_style():
        figure = _figure(0.75 + 0.27 * len(order))
        axes = figure.add_subplot(xlabel="Test OA minus that of one process (percentage points)")
        axes.axvspan(-margin, margin, color="#E6E6E6", linewidth=0)
        axes.axvline(0, color="#8C8C8C", linewidth=0.6)
        for strategy, offset in zip(strategies, (-0.17, 0.17), strict=True):
            look = {
                "color": STYLES[strategy]["color"],
                "fmt": STYLES[strategy]["marker"],
                "capsize": 2,
            }
            own, label = table[table.strategy == strategy], strategy
            for setting, rows in own.groupby("setting", sort=False):
                y = order.index(str(setting)) + offset
                axes.plot(
                    rows[DIFFERENCE],
                    np.full(len(rows), y),
                    "|",
                    color=look["color"],
                    alpha=0.45,
                    markersize=4,
                )
                mean, half = interval(rows[DIFFERENCE])
                bar = np.nan_to_num(half, posinf=0.0)  # one seed has no interval
                axes.errorbar(mean, y, xerr=bar, label=label, elinewidth=0.9, **look)
                label = "_"  # named once
        axes.set(yticks=range(len(order)), yticklabels=[name.replace("-", " ") for name in order])
        axes.set_ylim(len(order) - 0.45, -0.55)
        axes.grid(axis="x")
        figure.legend(loc="outside upper center", ncols=2)
        return figure
