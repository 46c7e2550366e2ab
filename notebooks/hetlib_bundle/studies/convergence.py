"""Loss and accuracy by epoch and by modelled time."""

from collections.abc import Mapping, Sequence

import pandas as pd

from hetlib.training.records import RunRecord


def history(records: Sequence[RunRecord], step_seconds: Mapping[str, float]) -> pd.DataFrame:
    """Return one row an evaluation: data set, model, strategy, seed, epoch, step, loss, oa, aa, kappa, seconds.

    Seconds are steps times the measured seconds of one step, by strategy; NaN where there is none.
    """
    rows = [
        {name: record.experiment[name] for name in ("dataset", "model", "strategy", "seed")}
        | evaluation
        for record in records
        for evaluation in record.epochs
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(seconds=frame.step * frame.strategy.map(step_seconds).astype(float))
