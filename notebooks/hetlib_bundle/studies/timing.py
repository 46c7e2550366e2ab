"""Measured steps of strategies on emulated replicas: times, waiting, speedups."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hetlib.balanced.shares import slashed
from hetlib.training.records import RunRecord
from hetlib.training.strategies import samples_worth
from hetlib_bundle import claims
from hetlib_bundle.claims.verdict import interval

RUN = ["model", "strategy", "seed"]  # what tells the runs of one data set apart

MICROSECONDS = 1e6  # of a second


class Turn(NamedTuple):
    """One run of several repeats of several strategies."""

    repeat: int
    strategy: str


def turns(strategies: Sequence[str], repeats: int) -> list[Turn]:
    """Return the runs in turns, there and back, so that a drift of the machine hits all alike."""
    order = []
    for repeat in range(repeats):
        names = strategies
        if repeat % 2:
            names = strategies[::-1]
        order += [Turn(repeat, name) for name in names]
    return order


def times_frame(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Return the times of some runs by model, strategy and seed.

    Returns:
        ``step`` and ``epoch`` in seconds, ``idle`` as a fraction, and ``shares`` as text.
    """
    rows = []
    for record in records:
        row = {name: record.experiment[name] for name in RUN}
        row |= claims.timed(record)
        row["shares"] = slashed(record.shares)
        rows.append(row)
    frame = pd.DataFrame(rows).set_index(RUN)
    return frame.sort_index()


def time_row(
    times: pd.DataFrame,
    model: str,
    strategy: str,
) -> dict[str, Any]:
    """Return one row of the table of times: means, half intervals over repeats, waiting, speedup.

    Args:
        times: From `times_frame`.
        model: CNN by name.
        strategy: Whose row it is.
    """
    own = times.loc[(model, strategy), :]
    equal = times.loc[(model, "equal"), :]
    row = {
        "model": model,
        "strategy": strategy,
        "shares": own.shares.iloc[0],
        "n_eff/B": _part_worth(strategy, own.shares.iloc[0]),
    }
    row["step (ms)"], row["step ±"] = interval(1e3 * own.step)
    row["epoch (s)"], row["epoch ±"] = interval(own.epoch)
    row["fastest replica idle (%)"] = 100 * own.idle.mean()
    row["speedup"] = (equal.step / own.step).mean()
    return row


def _part_worth(strategy: str, shares: str) -> float:
    """Return the part of the global batch that a strategy's gradient is worth, by formula."""
    samples = [int(share) for share in shares.split("/")]
    return samples_worth(strategy, samples) / sum(samples)


def sample_microseconds(records: Sequence[RunRecord], rank: int) -> float:
    """Return the microseconds that a replica computes at a sample, the mean of medians by run."""
    each = []
    for record in records:
        seconds = np.median(record.steps["compute"], axis=0)[rank]
        each.append(seconds / record.shares[rank])
    return float(MICROSECONDS * np.mean(each))


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
