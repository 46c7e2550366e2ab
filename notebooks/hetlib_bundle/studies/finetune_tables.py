"""What fine-tuned networks show: scores, and what BatchNorm does to the harm of the plain mean."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hetlib.balanced.shares import slashed
from hetlib.training.records import RunRecord
from hetlib.training.strategies import samples_worth
from hetlib_bundle.claims.verdict import interval
from hetlib_bundle.studies import floors
from hetlib_bundle.studies.finetune import (
    BALANCED,
    IID,
    NORMS,
    OF_SINGLE,
    OWN,
    PLAIN,
    SHARDS,
    SINGLE,
    Case,
)
from hetlib_bundle.studies.finetune_runs import ByRole
from hetlib_bundle.studies.many.tables import MARKS, POINTS
from hetlib_bundle.studies.tuned import LAST_BLOCK, WHOLE

# Where nothing is normalised by batches: the harm there is that of the gradient alone.
WITHOUT = "frozen"

# What a row of the tables is about.
CELL = ["part", "shares", "draws", "statistics", "strategy", "rate"]

# What BatchNorm is compared within.
PLACE = ["part", "shares", "draws", "rate"]

# The parts of the network in sentences.
PARTS = {LAST_BLOCK: "the last block", WHOLE: "the whole network"}

HIDES = "hides"
ADDS = "adds to"
NEITHER = "neither, measurably"


def case_of(record: RunRecord) -> Case:
    """Return what a run trained.

    Args:
        record: Of the run.
    """
    settings = record.experiment
    options = settings["model_options"]
    words = {norm: word for word, norm in NORMS.items()}
    return Case(
        part=options["part"],
        statistics=words[options["norm"]],
        strategy=settings["strategy"],
        shares=tuple(record.shares),
        draws=SHARDS if settings["dataset_options"].get("shards") else IID,
    )


def runs_table(records: ByRole, known: floors.Floors | None = None) -> pd.DataFrame:
    """Return all runs, beside one process and beside the balanced gradient of the same seed.

    Args:
        records: From `.finetune_runs.trained`.
        known: From `.floors.by_dataset`, for the marks.

    Returns:
        A row a run: the fields of its `Case`, ``rate`` (whose it has), ``lr``, ``seed``, ``n_eff``,
        ``OA`` and ``AA`` in percent, ``OA - single`` and ``OA - balanced`` in points, and ``mark``.
        One process has the statistics of the run, if those are frozen. Where the balanced gradient
        does what one process does, that one stands in its place.
    """
    scores = {}
    for record in records[OF_SINGLE]:
        scores[case_of(record), record.experiment["seed"]] = POINTS * record.scores["oa"]
    rows = []
    for role, found in records.items():
        for record in found:
            row = _scored(record, scores)
            rows.append({**row, "rate": role, "mark": floors.mark(record, known)})
    return pd.DataFrame(rows)


def _scored(record: RunRecord, scores: Mapping[tuple[Case, int], float]) -> dict[str, Any]:
    """Return the row of a run, by the OA of the runs at the rate of one process."""
    case = case_of(record)
    seed = record.experiment["seed"]
    single = case.reference()
    balanced = case._replace(strategy=BALANCED)
    if case.strategy == SINGLE or case.is_one_process:
        balanced = single
    oa = POINTS * record.scores["oa"]
    return {
        **case._asdict(),
        "shares": slashed(case.shares),
        "lr": record.lr,
        "seed": seed,
        "n_eff": samples_worth(case.strategy, case.shares),
        "OA": oa,
        "AA": POINTS * record.scores["aa"],
        "OA - single": oa - scores[single, seed],
        "OA - balanced": oa - scores[balanced, seed],
    }


def means_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the means over seeds.

    Args:
        runs: From `runs_table`.

    Returns:
        A row a cell: ``lr``, ``n_eff``, the scores and differences with half their 95 % intervals
        (nan for a single seed), ``seeds``, and how many runs have each mark.
    """
    rows = []
    for names, found in runs.groupby(CELL, sort=False):
        row: dict[str, Any] = dict(zip(CELL, names, strict=True))
        row |= {"lr": found.lr.iloc[0], "n_eff": found.n_eff.iloc[0]}
        for column in ("OA", "AA", "OA - single", "OA - balanced"):
            row[column], row[f"{column} ±"] = _interval(found[column])
        row["seeds"] = len(found)
        row |= {mark: int((found.mark == mark).sum()) for mark in MARKS}
        rows.append(row)
    return pd.DataFrame(rows)


def _interval(values: pd.Series) -> tuple[float, float]:
    """Return the mean and half its 95 % interval, which a single value does not have."""
    mean, half = interval(values)
    if len(values) < 2:
        return mean, math.nan
    return mean, half


def batchnorm_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return what batch statistics do to the harm of the plain mean.

    Harm is OA of the plain mean minus that of the balanced gradient with the same statistics, draws
    and seed, at the rate of one process or, for the plain mean, its own.

    Args:
        runs: From `runs_table`.

    Returns:
        A row a cell of the plain mean with batch statistics: ``harm``; ``harm, frozen``, with
        frozen statistics; ``difference``, of the two by seed, with ``low`` and ``high`` of its 95 %
        interval (negative: more harm with batch statistics; nan for a single seed);
        ``BatchNorm``: what it does to the harm; ``seeds``, and how many runs of the two are ``at
        chance``.
    """
    plain = runs[runs.strategy == PLAIN]
    rows = []
    for names, found in plain.groupby(PLACE, sort=False):
        harms = found.pivot_table("OA - balanced", "seed", "statistics", sort=False)
        if WITHOUT not in harms:
            continue
        for statistics in harms.columns.drop(WITHOUT):
            both = harms[[statistics, WITHOUT]].dropna()
            pair = found[found.statistics.isin([statistics, WITHOUT])]
            row: dict[str, Any] = dict(zip(PLACE, names, strict=True))
            row |= {"statistics": statistics, **_compared(both[statistics], both[WITHOUT])}
            row["at chance"] = int((pair.mark == "at chance").sum())
            rows.append(row)
    return pd.DataFrame(rows)


def _compared(harm: pd.Series, without: pd.Series) -> dict[str, Any]:
    """Return the harm with and without batch statistics, and a word on the difference."""
    differences = (harm - without).round(9)  # equal scores leave a rest of their last bits
    mean, half = _interval(differences)
    low = mean - half
    high = mean + half
    word = NEITHER
    if low > 0:
        word = HIDES
    if high < 0:
        word = ADDS
    return {
        "harm": float(np.mean(harm)),
        "harm, frozen": float(np.mean(without)),
        "difference": mean,
        "low": low,
        "high": high,
        "BatchNorm": word,
        "seeds": len(harm),
    }


def told(row: Mapping[Any, Any]) -> str:
    """Return a row of `batchnorm_table` in words.

    Args:
        row: The row.
    """
    rate = "its own" if row["rate"] == OWN else row["rate"]
    where = f"{row['part']}, {row['shares']}, {row['draws']}, at {rate} rate"
    between = f"{row['low']:+.1f} to {row['high']:+.1f}"
    if row["seeds"] < 2:
        between = "one seed, no interval"
    return (
        f"{row['statistics']} {row['harm']:+.1f}, frozen {row['harm, frozen']:+.1f}, difference "
        f"{row['difference']:+.1f} ({between}; {where})"
    )


def answer_sentence(table: pd.DataFrame) -> str:
    """Return the answer to whether BatchNorm hides the harm of the plain mean or adds to it.

    Args:
        table: From `batchnorm_table`.
    """
    hidden = table[table.BatchNorm == HIDES]
    added = table[table.BatchNorm == ADDS]
    open_ones = len(table) - len(hidden) - len(added)
    return (
        "**In short:** by the 95 % interval, the plain mean is nearer to the balanced gradient "
        f"with batch statistics than with frozen ones in {len(hidden)} of {len(table)} comparisons"
        f"{_where(hidden)}, further from it in {len(added)}{_where(added)}, and in the other "
        f"{open_ones} it cannot be told."
    )


def _where(rows: pd.DataFrame) -> str:
    """Return which parts, ways to draw and statistics the rows have, as text."""
    if rows.empty:
        return ""
    parts = " and ".join(rows.part.unique())
    draws = " and ".join(rows.draws.unique())
    statistics = " and ".join(rows.statistics.unique())
    return f" ({parts}; {draws}; {statistics} statistics)"


def seeds_sentence(runs: pd.DataFrame) -> str:
    """Return how many seeds each part of the network is trained with.

    Args:
        runs: From `runs_table`.
    """
    counts = runs.groupby("part", sort=False).seed.nunique()
    parts = [f"{PARTS[str(part)]} is trained with {count}" for part, count in counts.items()]
    return f"Seeds: {', '.join(parts)}."


def findings(table: pd.DataFrame) -> list[str]:
    """Return what BatchNorm does to the harm, a sentence for each thing that it does.

    Args:
        table: From `batchnorm_table`.
    """
    sentences = []
    for word in (HIDES, ADDS, NEITHER):
        rows = table[table.BatchNorm == word].to_dict("records")
        text = "; ".join(told(row) for row in rows) or "nowhere"
        what = f"BatchNorm {word} the harm of the plain mean"
        if word == NEITHER:
            what = "Neither is measurable"
        sentences.append(f"{what} in {len(rows)} of {len(table)} comparisons: {text}.")
    return sentences


def statistics_sentence(means: pd.DataFrame) -> str:
    """Return what statistics harm by themselves: where the gradient is balanced, too.

    Args:
        means: From `means_table`.
    """
    parts = []
    for row in means[means.strategy == BALANCED].to_dict("records"):
        apart = f"{row['OA - single']:+.1f}"
        if row["seeds"] > 1:
            apart += f" ± {row['OA - single ±']:.1f}"
        where = f"{row['part']}, {row['shares']}, {row['draws']}"
        parts.append(f"BatchNorm {row['statistics']} {apart} ({where})")
    return (
        "What statistics harm by themselves, OA of the balanced gradient minus that of one process "
        f"in points: {'; '.join(parts)}."
    )


def marks_sentence(runs: pd.DataFrame) -> str:
    """Return how many runs are at chance or below the classical floor.

    Args:
        runs: From `runs_table`.
    """
    counts = [f"{int((runs.mark == mark).sum())} {mark}" for mark in MARKS]
    return f"Of {len(runs)} runs {' and '.join(counts)}."
