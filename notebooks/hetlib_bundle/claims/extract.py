"""The values of a claim: from records or a measured table, one row each."""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from hetlib.training.records import RunRecord
from hetlib.training.strategies import samples_worth
from hetlib_bundle.claims.quantities import QUANTITIES
from hetlib_bundle.claims.register import CELL, Claim

# What `values` and `column_values` return.
COLUMNS = [*CELL, "seed", "value"]

# What a table may say beside a value: the sitting that it was measured in; whether its rate was the
# best one at the edge of those tried; whether its run learnt anything, more than a guess; the part
# of the global batch that the gradient of the judged strategy is worth.
SITTING = "sitting"
EDGE = "edge"
TRAINED = "trained"
WORTH = "n_eff/B"
BESIDE = (SITTING, EDGE, TRAINED, WORTH)


class _Pair(NamedTuple):
    """What the runs that make one value have in common."""

    dataset: str
    model: str
    seed: int


def values(claim: Claim, records: Iterable[RunRecord]) -> pd.DataFrame:
    """Return the values of a claim about records; runs are paired by seed.

    Args:
        claim: Any but one about a column.
        records: Runs, among them those of the claim's strategies and data.

    Returns:
        One row a value: `CELL`, seed, value, `WORTH`. A seed without all of the strategies has
        none.

    Raises:
        ValueError: Two records of one strategy and seed, so that the pair is not clear.
    """
    compute = QUANTITIES[claim.quantity].compute
    rows = []
    for pair, runs in _paired(claim, records).items():
        if len(runs) == len(claim.strategies):
            value = compute(*(runs[name] for name in claim.strategies))
            worth = _part_worth(runs[claim.strategies[0]])
            rows.append((pair.dataset, pair.model, "", pair.seed, value, worth))
    return pd.DataFrame(rows, columns=[*COLUMNS, WORTH])


def _part_worth(record: RunRecord) -> float:
    """Return the part of the global batch that a run's gradient is worth, by formula."""
    worth = samples_worth(record.experiment["strategy"], record.shares, record.speeds)
    return worth / sum(record.shares)


def _paired(claim: Claim, records: Iterable[RunRecord]) -> dict[_Pair, dict[str, RunRecord]]:
    """Return the claim's runs by data set, CNN and seed, and then by strategy."""
    found: dict[_Pair, dict[str, RunRecord]] = {}
    for record in records:
        if not _is_about(claim, record):
            continue
        run = record.experiment
        pair = _Pair(record.data_name, run["model"], run["seed"])
        runs = found.setdefault(pair, {})
        strategy = run["strategy"]
        if strategy in runs:
            raise ValueError(
                f"claim {claim.id}: two records of {strategy} for {tuple(pair)}; give one run each."
            )
        runs[strategy] = record
    return found


def _is_about(claim: Claim, record: RunRecord) -> bool:
    """Say whether a run is of the claim's strategies and data."""
    run = record.experiment
    if run["strategy"] not in claim.strategies:
        return False
    return all(run[name] == value for name, value in claim.data.items())


def column_values(claim: Claim, table: pd.DataFrame) -> pd.DataFrame:
    """Return the values of a claim about a column.

    A table without data set, CNN or setting is about one cell; rows without a seed are numbered.

    Args:
        claim: With the quantity "column".
        table: Of which the rows of the claim's strategy and data are taken.

    Returns:
        As `values` does, and those columns of `BESIDE` that the table has; no rows where it lacks
        the claim's column.
    """
    wanted = dict(claim.data)
    if claim.strategies:
        wanted["strategy"] = claim.strategies[0]
    for name, value in wanted.items():
        if name in table:
            table = table[table[name] == value]

    column = claim.source["column"]
    if column not in table:
        return pd.DataFrame(columns=COLUMNS)
    found: dict[str, object] = {name: table.get(name, "") for name in CELL}
    found["seed"] = table.get("seed", range(len(table)))
    found["value"] = table[column].astype(float)
    for name in BESIDE:
        if name in table:
            found[name] = table[name]
    return pd.DataFrame(found)
