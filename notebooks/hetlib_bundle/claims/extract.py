"""The values of a claim: from records or a measured table, one row each."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from hetlib.training.records import RunRecord
from hetlib_bundle.claims.quantities import QUANTITIES
from hetlib_bundle.claims.register import CELL, Claim


def values(claim: Claim, records: Iterable[RunRecord]) -> pd.DataFrame:
    """Return one row a value of a claim: the cell, seed, value; runs are paired by seed.

    Raises:
        ValueError: Two records of one strategy and seed, so that the pair is not clear.
    """
    found: dict[tuple[Any, ...], dict[str, RunRecord]] = {}
    for record in records:
        run = record.experiment
        key = (run["dataset"], run["model"], run["seed"])
        if run["strategy"] not in claim.strategies or any(
            run[name] != value for name, value in claim.data.items()
        ):
            continue
        if run["strategy"] in found.setdefault(key, {}):
            raise ValueError(
                f"claim {claim.id}: two records of {run['strategy']} for {key}; give one run each."
            )
        found[key][run["strategy"]] = record
    compute = QUANTITIES[claim.quantity][0]
    rows = [
        (dataset, model, "", seed, compute(*(runs[name] for name in claim.strategies)))
        for (dataset, model, seed), runs in found.items()
        if len(runs) == len(claim.strategies)
    ]
    return pd.DataFrame(rows, columns=[*CELL, "seed", "value"])


def column_values(claim: Claim, table: pd.DataFrame) -> pd.DataFrame:
    """Return the same of a claim about a column: the table's rows of its strategy and data; none without the column.

    A table without data set, CNN or setting is about one cell; rows without a seed are numbered.
    """
    wanted = {**claim.data, "strategy": claim.strategies[0]} if claim.strategies else claim.data
    for name in wanted.keys() & set(table):
        table = table[table[name] == wanted[name]]
    if (column := claim.source["column"]) not in table:
        return pd.DataFrame(columns=[*CELL, "seed", "value"])
    cells = {name: table.get(name, "") for name in CELL}
    return pd.DataFrame(
        {
            **cells,
            "seed": table.get("seed", range(len(table))),
            "value": table[column].astype(float),
        }
    )
