"""The register of claims (data/claims.yaml): read, checked, and judged from records and measured tables."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from hetlib.training.records import RunRecord
from hetlib_bundle.claims.extract import values
from hetlib_bundle.claims.register import CELL, Claim, load
from hetlib_bundle.claims.verdict import Verdict, verdict

WORDS = ("not supported", "underpowered", "supported")  # from bad to good


def judge(claim: Claim, found: pd.DataFrame) -> pd.DataFrame:
    """Judge each cell (data set, CNN and setting) of `values`: the cell, n, and the fields of `Verdict`."""
    rows = []
    for cell, group in found.groupby(CELL, sort=False):
        judged = verdict(group.value, claim.margin, claim.direction)
        few = Verdict("underpowered", *judged[1:])
        word = (judged if len(group) >= claim.least else few)._asdict()
        rows.append({**dict(zip(CELL, cell, strict=True)), "n": len(group), **word})
    return pd.DataFrame(rows, columns=[*CELL, "n", *Verdict._fields])


def judge_records(ids: Iterable[str], records: Sequence[RunRecord]) -> pd.DataFrame:
    """Return the verdicts of some claims on some records, for a notebook's own table.

    One row a claim and cell; a claim about other data than the records' has none.
    """
    return judge_values({name: values(load()[name], records) for name in ids}).drop(
        columns="setting"
    )


def judge_values(found: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the verdicts of claims by id on their `values` or `column_values`, one row a claim and cell."""
    parts = []
    for claim, rows in ((load()[name], rows) for name, rows in found.items()):
        cells = judge(claim, rows).rename(columns={"word": "verdict"})
        cells["claim"], cells["strategy"], cells["unit"] = claim.id, claim.strategies[0], claim.unit
        cells["is"], cells["margin"] = claim.direction, claim.margin
        parts.append(cells[["claim", *CELL, "strategy", "is", "margin", *_JUDGED]])
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


_JUDGED = ["n", "effect", "low", "high", "verdict", "unit"]


def weakest(claim: Claim, cells: pd.DataFrame) -> pd.Series:
    """Return the cell nearest to failing: the statement is about all of them, so this one speaks for the claim."""
    rank = cells.word.map(WORDS.index)
    slack = {
        "above": cells.low,
        "below": -cells.high,
        "within": -cells[["low", "high"]].abs().max(axis=1),
    }
    return (
        cells.assign(rank=rank, slack=slack[claim.direction]).sort_values(["rank", "slack"]).iloc[0]
    )
