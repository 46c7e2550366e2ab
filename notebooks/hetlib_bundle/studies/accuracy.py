"""Scores of strategies against one process: the search for a rate, the paired differences."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from hetlib.training.experiment import Experiment
from hetlib.training.strategies import samples_worth, shares_for
from hetlib_bundle.claims.verdict import interval

SCORES = ("oa", "aa", "kappa")
TRIALS = (100, 101)  # seeds of the search, none of which is scored afterwards


def rate_trials(
    case: Experiment,
    rates: Sequence[float],
    count: int,
) -> list[Experiment]:
    """Return the runs that choose a learning rate for a case, on the validation split.

    Args:
        case: What is trained.
        rates: The learning rates to choose from.
        count: Of the runs with each rate, a seed of `TRIALS` each.
    """
    trial = replace(case, evaluate_split="validation", evaluate_every=0)
    trials = []
    for rate in rates:
        trials += [replace(trial, lr=rate, seed=seed) for seed in TRIALS[:count]]
    return trials


def score_row(
    frame: pd.DataFrame,
    case: Experiment,
    strategy: str,
) -> dict[str, Any]:
    """Return one row of the table of scores.

    Args:
        frame: One row a run, by data set, model, strategy and seed.
        case: Whose data set and model are meant.
        strategy: Which is compared with ``single``.

    Returns:
        ``dataset``, ``model``, ``strategy``, ``lr``; the mean of each score and half its interval;
        and the paired difference of OA to ``single`` in percentage points with its interval.
    """
    own = frame.loc[(case.data_name, case.model, strategy), :]
    single = frame.loc[(case.data_name, case.model, "single"), :]
    row = {
        "dataset": case.data_name,
        "model": case.model,
        "strategy": strategy,
        "lr": own.lr.iloc[0],
    }
    row |= mean_scores(own)
    row |= paired_difference(own.oa, single.oa)
    return row


def effective_batch(strategy: str, shares: Sequence[int], slowdowns: Sequence[float]) -> float:
    """Return how many samples a strategy's gradient is worth (n_eff), by formula.

    Args:
        strategy: By name.
        shares: Samples per step of each replica, which strategies by speed take.
        slowdowns: Of each replica.
    """
    speeds = [1 / slowdown for slowdown in slowdowns]
    taken = shares_for(strategy, sum(shares), speeds, shares)
    return samples_worth(strategy, taken, speeds)


def mean_scores(runs: pd.DataFrame) -> dict[str, float]:
    """Return the mean over seeds of each score, and half the width of its 95 % interval."""
    row = {}
    for score in SCORES:
        row[score], row[f"{score} ±"] = interval(runs[score])
    return row


def paired_difference(own: pd.Series, single: pd.Series) -> dict[str, float]:
    """Return the mean difference of OA to one process, paired by seed, with its 95 % interval.

    Args:
        own: OA by seed, a fraction.
        single: The same of one process.

    Returns:
        ``OA - single``, ``low`` and ``high``, in percentage points.
    """
    mean, half = interval(100 * (own - single))
    return {"OA - single": mean, "low": mean - half, "high": mean + half}
