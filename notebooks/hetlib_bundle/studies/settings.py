"""One factor at a time around the base setting of `07_accuracy`: what is changed, and what comes of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

import hetlib
from hetlib.models import MODELS
from hetlib.training.experiment import Experiment
from hetlib.training.records import RunRecord, runs_frame
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

# From the strategy to its runs or records, one a seed.
ByStrategy = dict[str, list[Any]]


def model_settings(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return a setting for each CNN: with GroupNorm or else the global batch's BatchNorm, if the network offers one."""
    found = {}
    for name in names:
        norms = [norm for norm in ("group", "balanced") if norm in MODELS[name]]
        options = {"norm": norms[0]} if norms else {}
        found[name] = {"model": name, "model_options": options}
    return found


def changed(base: Experiment, changes: Mapping[str, Any]) -> Experiment:
    """Return the base with changes; options of the data set are added to its own, and scored once, at the end."""
    if not changes:
        return base
    fields = dict(changes)
    if "shares" in fields:
        fields["global_batch"] = sum(fields["shares"])
    if "optimizer" in fields:
        fields.setdefault("optimizer_options", None)  # not those of the base's
    if "dataset_options" in fields:
        fields["dataset_options"] = {**base.dataset_options, **fields["dataset_options"]}
    return replace(base, **fields, evaluate_every=0)


def one_process(case: Experiment, base: Experiment) -> Experiment:
    """Return the run that a setting is compared with.

    Shares of the same global batch, and who owns which samples, make no difference to one process:
    it is the base's.
    """
    shares = case.shares
    if case.global_batch == base.global_batch:
        shares = base.shares
    options = {name: value for name, value in case.dataset_options.items() if name != "shards"}
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


def rate_trials(case: Experiment, rates: Sequence[float], seeds: Sequence[int]) -> list[Experiment]:
    """Return the runs on the validation split that choose a learning rate for a case."""
    trial = replace(case, evaluate_split="validation", evaluate_every=0)
    return [replace(trial, lr=rate, seed=seed) for rate in rates for seed in seeds]


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
    runs: Mapping[str, ByStrategy], record_of: Callable[[Experiment], RunRecord]
) -> dict[str, ByStrategy]:
    """Return the records of `planned` experiments, by setting and strategy."""
    found: dict[str, ByStrategy] = {}
    for name, group in runs.items():
        found[name] = {}
        for strategy, each in group.items():
            found[name][strategy] = [record_of(experiment) for experiment in each]
    return found


def differences(
    setting: str, runs: Sequence[RunRecord], references: Sequence[RunRecord]
) -> pd.DataFrame:
    """Return one row a run: its cell, strategy, seed, rate, and its test OA minus the reference's of the same seed.

    Args:
        setting: Its name.
        runs: Of one strategy.
        references: Of one process, with the same seeds.
    """
    oa = {run.experiment["seed"]: run.scores["oa"] for run in references}
    rows = []
    for run in runs:
        about = {name: run.experiment[name] for name in ("dataset", "model", "strategy", "seed")}
        difference = 100 * (run.scores["oa"] - oa[about["seed"]])
        rows.append({"setting": setting, **about, "lr": run.lr, DIFFERENCE: difference})
    return pd.DataFrame(rows)


def against_single(setting: str, records: Mapping[str, Sequence[RunRecord]]) -> pd.DataFrame:
    """Return the `differences` of all strategies of one setting."""
    parts = []
    for strategy, runs in records.items():
        if strategy != "single":
            parts.append(differences(setting, runs, records["single"]))
    return pd.concat(parts, ignore_index=True)


def score_row(
    setting: str, strategy: str, records: Mapping[str, Sequence[RunRecord]]
) -> dict[str, Any]:
    """Return one row of the table of settings.

    Args:
        setting: Its name.
        strategy: Whose row it is.
        records: Of the setting, by strategy.

    Returns:
        What was run, the ``effective batch`` by formula, the mean scores with half their intervals,
        and the paired difference of OA to one process with its interval.
    """
    runs = records[strategy]
    frame = runs_frame(runs).set_index("seed")
    single = runs_frame(records["single"]).set_index("seed")
    row = {"setting": setting, "strategy": strategy}
    row |= dict(frame[["model", "optimizer", "norm", "shares", "lr"]].iloc[0])
    row["effective batch"] = _batch(strategy, runs[0].shares)
    return row | mean_scores(frame) | paired_difference(frame.oa, single.oa)


def _batch(strategy: str, shares: Sequence[int]) -> float:
    """Return the effective batch: that of the plain mean, else the global one."""
    taking_part = [share for share in shares if share]
    if strategy == "uneven-plain":
        return hetlib.effective_batch(taking_part)
    return sum(taking_part)


def disagreeing(verdicts: pd.DataFrame) -> list[str]:
    """Return the settings of one claim whose mean lies on the wrong side, among those not shown either way."""
    unsure = verdicts[verdicts.verdict == "underpowered"]
    wrong = unsure.effect.abs() >= unsure.margin
    if (unsure["is"] == "below").all():
        wrong = unsure.effect >= unsure.margin
    return list(unsure.setting[wrong])


def listed(verdicts: pd.DataFrame) -> str:
    """Return settings with effect and interval in one line of text."""
    parts = []
    for item in verdicts.itertuples():
        mean, low, high = (_rounded(value) for value in (item.effect, item.low, item.high))
        parts.append(f"{item.setting} {mean:+.1f} ({low:+.1f} to {high:+.1f})")
    return ", ".join(parts) or "none"


def _rounded(value: float) -> float:
    """Round to a tenth; there is no -0.0."""
    return round(value, 1) + 0.0
