"""Scores of strategies against one process: the search for a learning rate, and the paired differences."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

import hetlib
from hetlib_bundle.claims.verdict import interval

SCORES = ("oa", "aa", "kappa")
TRIALS = (100, 101)  # seeds of the search, none of which is scored afterwards


def rate_trials(case: hetlib.Experiment, rates: Sequence[float]) -> list[hetlib.Experiment]:
    """Return the runs of one process that choose a learning rate on the validation split, each rate with two seeds."""
    trial = replace(case, strategy="single", evaluate_split="validation", evaluate_every=0)
    return [replace(trial, lr=rate, seed=seed) for rate in rates for seed in TRIALS]


def score_row(frame: pd.DataFrame, case: hetlib.Experiment, strategy: str) -> dict[str, Any]:
    """Return one row of the table of scores.

    Args:
        frame: One row a run, by data set, model, strategy and seed.
        case: Whose data set and model are meant.
        strategy: Which is compared with ``single``.

    Returns:
        ``dataset``, ``model``, ``strategy``, ``lr``; the mean of each score and half its interval;
        and the paired difference of OA to ``single`` in percentage points with its interval.
    """
    runs = frame.loc[(case.dataset, case.model)]
    own = runs.loc[strategy]
    row = {
        "dataset": case.dataset,
        "model": case.model,
        "strategy": strategy,
        "lr": own.lr.iloc[0],
    }
    return row | mean_scores(own) | paired_difference(own.oa, runs.loc["single"].oa)


def mean_scores(runs: pd.DataFrame) -> dict[str, float]:
    """Return the mean over seeds of each score, and half the width of its 95 % interval."""
    row = {}
    for score in SCORES:
        row[score], row[f"{score} ±"] = interval(runs[score])
    return row


def paired_difference(own: pd.Series, single: pd.Series) -> dict[str, float]:
    """Return the mean difference of OA to one process of the same seed, in percentage points, with its interval.

    Args:
        own: OA by seed, a fraction.
        single: The same of one process.
    """
    mean, half = interval(100 * (own - single))
    return {"OA - single": mean, "low": mean - half, "high": mean + half}
