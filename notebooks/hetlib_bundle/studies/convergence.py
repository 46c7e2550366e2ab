"""Loss and accuracy by epoch and by modelled time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hetlib.training.records import RunRecord

ABOUT = ("dataset", "model", "strategy", "seed")

# Columns of `reaching`; the last two are empty for a strategy that does not reach the goal.
REACHED = [
    "strategy",
    "step (ms)",
    "last loss",
    "last OA",
    "epochs to the level",
    "seconds to the level",
]


def history(
    records: Sequence[RunRecord],
    step_seconds: Mapping[str, float],
) -> pd.DataFrame:
    """Return the evaluations of some runs over time.

    Args:
        records: The runs.
        step_seconds: Measured seconds of one step, by strategy.

    Returns:
        One row an evaluation: ``dataset``, ``model``, ``strategy``, ``seed``, ``epoch``, ``step``,
        ``loss``, ``oa``, ``aa``, ``kappa``, and ``seconds``: steps times those of one step, NaN
        where there are none.
    """
    rows = []
    for record in records:
        about = {name: record.experiment[name] for name in ABOUT}
        rows += [about | evaluation for evaluation in record.epochs]
    frame = pd.DataFrame(rows)
    each = frame.strategy.map(step_seconds).astype(float)
    return frame.assign(seconds=frame.step * each)


def median_step_seconds(records: Sequence[RunRecord], first: int) -> dict[str, float]:
    """Return the median seconds of a step by strategy, over all its timed runs.

    Args:
        records: The timed runs.
        first: Steps of each run that are a warm-up and left out.
    """
    taken: dict[str, list[np.ndarray]] = {}
    for record in records:
        parts = taken.setdefault(record.experiment["strategy"], [])
        parts.append(record.step_seconds[first:])
    medians = {}
    for name, parts in taken.items():
        medians[name] = float(np.median(np.concatenate(parts)))
    return medians


def reaching(
    means: pd.DataFrame,
    strategies: Sequence[str],
    step_seconds: Mapping[str, float],
    goal: float,
) -> pd.DataFrame:
    """Return when each strategy first reaches a level of OA.

    Args:
        means: ``loss``, ``oa`` and ``seconds`` by strategy and epoch.
        strategies: In the order of the table.
        step_seconds: Of one step, by strategy.
        goal: The OA to reach, a fraction.

    Returns:
        One row a strategy: its step time, last loss and OA, and the epochs and seconds to the
        goal, NaN where it is not reached.
    """
    rows = []
    for name in strategies:
        own = means.loc[name]
        row: dict[str, Any] = {
            "strategy": name,
            "step (ms)": 1e3 * step_seconds[name],
            "last loss": own.loss.iloc[-1],
            "last OA": own.oa.iloc[-1],
        }
        reached = own[own.oa >= goal]
        if len(reached):
            row["epochs to the level"] = reached.index[0]
            row["seconds to the level"] = reached.seconds.iloc[0]
        rows.append(row)
    return pd.DataFrame(rows).reindex(columns=REACHED)
