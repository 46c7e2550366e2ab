"""One factor at a time around the base setting of `07_accuracy`: what changes, what comes of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from hetlib.models import MODELS
from hetlib.training.experiment import Experiment
from hetlib.training.records import RunRecord, runs_frame
from hetlib.training.strategies import samples_worth
from hetlib_bundle.studies import floors
from hetlib_bundle.studies.accuracy import mean_scores, paired_difference

DIFFERENCE = "OA - single"  # percentage points
STRATEGIES = ("balanced", "uneven-plain")  # compared with one process

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

# The base again, with the plain mean at a learning rate that was searched for itself.
OWN_RATE = "base, own rate"

NORMS = ("group", "balanced")  # GroupNorm, or else the global batch's BatchNorm
RUN = ("dataset", "model", "strategy", "seed")  # what tells runs of one setting apart
SAID = ["model", "optimizer", "norm", "shares", "lr"]  # of the runs in a row of the table

Row = dict[str, Any]  # values by name
Records = Sequence[RunRecord]
ByStrategy = dict[str, list[Any]]  # from the strategy to its runs or records, one a seed


def model_settings(names: Sequence[str]) -> dict[str, Row]:
    """Return a setting for each CNN, with the first of `NORMS` that the network offers."""
    found: dict[str, Row] = {}
    for name in names:
        offered = [norm for norm in NORMS if norm in MODELS[name]]
        options = {"norm": offered[0]} if offered else {}
        found[name] = {"model": name, "model_options": options}
    return found


def changed(base: Experiment, changes: Mapping[str, Any]) -> Experiment:
    """Return the base with changes, scored once, at the end.

    Args:
        base: What is changed.
        changes: Fields that differ; options of the data set are added to those of the base. None:
            the base as it is.
    """
    if not changes:
        return base
    fields = dict(changes)
    if "shares" in fields:
        fields["global_batch"] = sum(fields["shares"])
    if "optimizer" in fields:
        fields.setdefault("optimizer_options", None)  # not those of the base's
    if "dataset_options" in fields:
        more = fields["dataset_options"]
        fields["dataset_options"] = {**base.dataset_options, **more}
    return replace(base, **fields, evaluate_every=0)


def one_process(case: Experiment, base: Experiment) -> Experiment:
    """Return the run that a setting is compared with.

    Shares of the same global batch, and who owns which samples, make no difference to one process:
    it is the base's.
    """
    shares = case.shares
    if case.global_batch == base.global_batch:
        shares = base.shares
    options = dict(case.dataset_options)
    options.pop("shards", None)
    return replace(
        case,
        strategy="single",
        shares=shares,
        evaluate_every=base.evaluate_every,
        dataset_options=options,
    )


def without_repeats(experiments: Iterable[Experiment]) -> list[Experiment]:
    """Return experiments in their order, each once: settings share some runs."""
    found: list[Experiment] = []
    for experiment in experiments:
        if experiment not in found:
            found.append(experiment)
    return found


def planned(
    cases: Mapping[str, Experiment],
    rates: Mapping[str, float],
    own_rate: float,
    seeds: Sequence[int],
) -> dict[str, ByStrategy]:
    """Return the experiments by setting and strategy, one process first.

    Args:
        cases: The settings, the base among them.
        rates: The learning rate of each.
        own_rate: That of the plain mean, searched for itself, in the base.
        seeds: One run each.
    """
    base = cases["base"]
    runs: dict[str, ByStrategy] = {}
    for name, case in cases.items():
        tuned = replace(case, lr=rates[name])
        runs[name] = {"single": _each_seed(one_process(tuned, base), seeds)}
        for strategy in STRATEGIES:
            runs[name][strategy] = _each_seed(replace(tuned, strategy=strategy), seeds)
    rival = replace(base, strategy="uneven-plain", lr=own_rate)
    runs[OWN_RATE] = {
        "single": runs["base"]["single"],
        "uneven-plain": _each_seed(rival, seeds),
    }
    return runs


def _each_seed(experiment: Experiment, seeds: Sequence[int]) -> list[Experiment]:
    """Return an experiment with each seed."""
    return [replace(experiment, seed=seed) for seed in seeds]


def everything(runs: Mapping[str, ByStrategy]) -> list[Experiment]:
    """Return all experiments of `planned`, each once."""
    found = []
    for group in runs.values():
        for each in group.values():
            found += each
    return without_repeats(found)


def looked_up(
    runs: Mapping[str, ByStrategy],
    record_of: Callable[[Experiment], RunRecord],
) -> dict[str, ByStrategy]:
    """Return the records of `planned` experiments, by setting and strategy.

    Args:
        runs: The experiments.
        record_of: Finds the record of one.
    """
    found: dict[str, ByStrategy] = {}
    for name, group in runs.items():
        found[name] = {}
        for strategy, each in group.items():
            found[name][strategy] = [record_of(experiment) for experiment in each]
    return found


def differences(
    setting: str,
    runs: Records,
    references: Records,
) -> pd.DataFrame:
    """Return the test OA of some runs minus that of one process, paired by seed.

    Args:
        setting: Its name.
        runs: Of one strategy.
        references: Of one process, with the same seeds.

    Returns:
        One row a run: its cell, strategy, seed, rate, effective batch (also over the global one),
        and the difference.
    """
    oa = {run.experiment["seed"]: run.scores["oa"] for run in references}
    rows = []
    for run in runs:
        row: Row = {"setting": setting}
        row |= {name: run.experiment[name] for name in RUN}
        row["lr"] = run.lr
        row["n_eff"] = samples_worth(row["strategy"], run.shares, run.speeds)
        row["n_eff/B"] = row["n_eff"] / sum(run.shares)
        row[DIFFERENCE] = 100 * (run.scores["oa"] - oa[row["seed"]])
        rows.append(row)
    return pd.DataFrame(rows)


def against_single(setting: str, records: Mapping[str, Records]) -> pd.DataFrame:
    """Return the `differences` of all strategies of one setting."""
    parts = []
    for strategy, runs in records.items():
        if strategy != "single":
            parts.append(differences(setting, runs, records["single"]))
    return pd.concat(parts, ignore_index=True)


def score_row(
    setting: str,
    strategy: str,
    records: Mapping[str, Records],
    known: floors.Floors | None = None,
) -> Row:
    """Return one row of the table of settings.

    Args:
        setting: Its name.
        strategy: Whose row it is.
        records: Of the setting, by strategy.
        known: Floors of the data set, if any.

    Returns:
        What was run, the effective batch ``n_eff`` by formula and over the global one, the mean
        scores with half their intervals, the paired difference of OA to one process with its
        interval, and how many runs are at chance or below the floor.
    """
    runs = records[strategy]
    frame = runs_frame(runs).set_index("seed")
    single = runs_frame(records["single"]).set_index("seed")
    row: Row = {"setting": setting, "strategy": strategy}
    row |= dict(frame[SAID].iloc[0])
    row["n_eff"] = samples_worth(strategy, runs[0].shares, runs[0].speeds)
    row["n_eff/B"] = row["n_eff"] / sum(runs[0].shares)
    row |= mean_scores(frame)
    row |= paired_difference(frame.oa, single.oa)
    return row | floors.counted(runs, known)


def disagreeing(verdicts: pd.DataFrame) -> list[str]:
    """Return the settings whose mean lies on the wrong side, of those not shown either way.

    Args:
        verdicts: Of one claim.
    """
    unsure = verdicts[verdicts.verdict == "underpowered"]
    wrong = unsure.effect.abs() >= unsure.margin
    if (unsure["is"] == "below").all():
        wrong = unsure.effect >= unsure.margin
    return list(unsure.setting[wrong])


def listed(verdicts: pd.DataFrame) -> str:
    """Return settings with effect and interval in one line of text."""
    parts = []
    for _, row in verdicts.iterrows():
        mean = _signed(row.effect)
        bounds = f"{_signed(row.low)} to {_signed(row.high)}"
        parts.append(f"{row.setting} {mean} ({bounds})")
    return ", ".join(parts) or "none"


def _signed(value: float) -> str:
    """Return a difference to a tenth, with its sign; there is no -0.0."""
    rounded = np.round(value, 1) + 0.0
    return f"{rounded:+.1f}"
