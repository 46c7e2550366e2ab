"""One factor at a time around the base setting of `07_accuracy`: what is changed, and a figure of what comes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from hetlib.models.registry import MODELS
from hetlib.training.experiment import Experiment
from hetlib.training.records import RunRecord

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
