"""What the claims on fresh seeds say in a sentence each, every number from the tables."""

import numpy as np
import pandas as pd

from hetlib.balanced.weights import effective_batch
from hetlib_bundle.claims.verdict import interval
from hetlib_bundle.studies.many import fresh_tables
from hetlib_bundle.studies.many.fresh import PLANNED, WORST
from hetlib_bundle.studies.many.tables import slashed

# Points of OA within which two trainings count as alike.
NEAR = 1.0


def sentences(runs: pd.DataFrame) -> list[str]:
    """Return what the runs on fresh seeds show.

    Args:
        runs: From `.many.fresh_tables.fresh_runs`.
    """
    return [_noise(runs), _time(runs), _shards(runs), _long(runs)]


def _means(values: pd.DataFrame, column: str) -> pd.Series:
    """Return the mean over seeds of each cell."""
    return values.groupby(["dataset", "setting"], sort=False)[column].mean()


def _noise(runs: pd.DataFrame) -> str:
    """Say how far the plain mean is from a batch of n_eff."""
    column = "OA - OA of n_eff"
    values = fresh_tables.effective_batch(runs)
    means = _means(values, column)
    below = 0
    above = 0
    for _, group in values.groupby(["dataset", "setting"]):
        mean, half = interval(group[column])
        below += int(mean + half < 0)
        above += int(mean - half > 0)
    exact = "No interval leaves out 0."
    if below or above:
        exact = (
            f"It is not exactly the same: the 95 % interval lies below 0 in {below or 'none'} of "
            f"{len(means)} cells and above 0 in {above or 'none'}."
        )
    return (
        "**Noise.** Over independent draws and at one rate, the plain mean trains as one process "
        f"with a batch of n_eff does: the means differ by {means.min():+.1f} to {means.max():+.1f} "
        f"points in {len(means)} cells (Q2). {exact}"
    )


def _time(runs: pd.DataFrame) -> str:
    """Say what the plain mean gives back of the time that uneven shares gain."""
    ratios = np.exp(_means(fresh_tables.to_target(runs), "log ratio"))
    bound = sum(PLANNED) / effective_batch(PLANNED)
    return (
        "**Time.** To the same accuracy and with a rate of its own, the plain mean needs "
        f"{ratios.min():.2f} to {ratios.max():.2f} times the steps of the balanced gradient with "
        f"the shares {slashed(PLANNED)}, where B / n_eff is {bound:.2f} (Q3). These extra steps "
        "give back a part of the time that uneven shares save."
    )


def _shards(runs: pd.DataFrame) -> str:
    """Say what is lost with shards that were drawn at random."""
    losses = -_means(fresh_tables.lasting(runs), "OA - balanced")
    steps = runs.steps.max()
    return (
        f"**Shards.** Where each replica keeps a random part of the data, shares {slashed(WORST)}, "
        f"the plain mean ends {losses.min():.1f} to {losses.max():.1f} points below the balanced "
        f"gradient after {steps} steps, at a rate of its own (Q4)."
    )


def _long(runs: pd.DataFrame) -> str:
    """Say what remains over independent draws after the longest training."""
    values = fresh_tables.own_rate(runs)
    told = []
    for shares in (PLANNED, WORST):
        part = values[values.setting == slashed(shares)]
        means = _means(part, "OA - single")
        near = 0
        for _, group in part.groupby("dataset"):
            mean, half = interval(group["OA - single"])
            near += abs(mean) + half <= NEAR
        told.append(
            f"{near} of {len(means)} data sets with {slashed(shares)} (means {means.min():+.1f} to "
            f"{means.max():+.1f})"
        )
    return (
        "**Long trainings.** Over independent draws and with a rate of its own, the plain mean "
        f"ends within {NEAR:g} point of one process, by the whole 95 % interval, on "
        f"{' and '.join(told)} (Q5)."
    )
