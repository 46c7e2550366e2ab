"""Measured steps of strategies on emulated replicas: times, waiting, speedups."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hetlib.training.records import RunRecord
from hetlib_bundle import claims
from hetlib_bundle.claims.verdict import interval

MICROSECONDS = 1e6  # of a second


def turns(strategies: Sequence[str], repeats: int) -> list[tuple[int, str]]:
    """Return repeat and strategy of each run: there and back, so that a drift of the machine hits all alike."""
    order = []
    for repeat in range(repeats):
        names = strategies
        if repeat % 2:
            names = strategies[::-1]
        order += [(repeat, name) for name in names]
    return order


def times_frame(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Return the times of some runs by model, strategy and seed: ``step``, ``epoch`` (seconds), ``idle``, ``shares``."""
    rows = []
    for record in records:
        about = {name: record.experiment[name] for name in ("model", "strategy", "seed")}
        shares = "/".join(map(str, record.shares))
        rows.append(about | claims.timed(record) | {"shares": shares})
    return pd.DataFrame(rows).set_index(["model", "strategy", "seed"]).sort_index()


def time_row(times: pd.DataFrame, model: str, strategy: str) -> dict[str, Any]:
    """Return one row of the table of times: mean and half its interval over repeats, waiting, speedup over equal.

    Args:
        times: From `times_frame`.
        model: CNN by name.
        strategy: Whose row it is.
    """
    own = times.loc[(model, strategy)]
    equal = times.loc[(model, "equal")]
    row = {"model": model, "strategy": strategy, "shares": own.shares.iloc[0]}
    row["step (ms)"], row["step ±"] = interval(1e3 * own.step)
    row["epoch (s)"], row["epoch ±"] = interval(own.epoch)
    row["fastest replica idle (%)"] = 100 * own.idle.mean()
    row["speedup"] = (equal.step / own.step).mean()
    return row


def sample_microseconds(records: Sequence[RunRecord], rank: int) -> float:
    """Return what a replica computes at a sample, in microseconds: the mean over runs of their medians."""
    medians = [np.median(run.steps["compute"], axis=0)[rank] / run.shares[rank] for run in records]
    return float(MICROSECONDS * np.mean(medians))


def planned_row(
    taken: pd.Series, strategy: str, shares: str, planned: float | None
) -> dict[str, Any]:
    """Return one row of a plan beside the clock.

    Args:
        taken: Measured median seconds of a step, by seed and strategy.
        strategy: Whose row it is.
        shares: As text.
        planned: Seconds of its step in the plan; None where there is no such step.
    """
    own = taken[:, strategy]
    mean, half = interval(1e3 * own)
    gain, gain_half = interval(taken[:, "equal"] / own)
    return {
        "strategy": strategy,
        "shares": shares,
        "step (ms), planned": 1e3 * (planned or np.nan),
        "step (ms)": mean,
        "±": half,
        "speedup over equal": gain,
        "speedup ±": gain_half,
    }
