"""Claims judged from their values: one row a claim and cell, each with one of three words."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from hetlib.training.records import RunRecord
from hetlib_bundle.claims import register
from hetlib_bundle.claims.extract import values
from hetlib_bundle.claims.register import CELL, Claim
from hetlib_bundle.claims.verdict import Verdict, verdict

# From bad to good.
WORDS = ("not supported", "underpowered", "supported")

# What a table of verdicts says of each cell.
JUDGED = ["n", "effect", "low", "high", "verdict", "unit"]


def judge(claim: Claim, found: pd.DataFrame) -> pd.DataFrame:
    """Judge each cell of a claim: data set, CNN and setting.

    A cell with fewer values than the claim asks for is underpowered.

    Args:
        claim: Any.
        found: Its `values` or `column_values`.

    Returns:
        One row a cell: `CELL`, n, and the fields of `Verdict`.
    """
    rows = []
    for cell, group in found.groupby(CELL, sort=False):
        judged = verdict(group.value, claim.margin, claim.direction)
        if len(group) < claim.least:
            judged = judged._replace(word="underpowered")
        rows.append((*cell, len(group), *judged))
    return pd.DataFrame(rows, columns=[*CELL, "n", *Verdict._fields])


def judge_records(ids: Iterable[str], records: Sequence[RunRecord]) -> pd.DataFrame:
    """Return the verdicts of some claims on some records, for a notebook's own table.

    Args:
        ids: Of the claims.
        records: That the caller read or made.

    Returns:
        One row a claim and cell; a claim about other data than the records' has none.
    """
    claims = register.load()
    found = {name: values(claims[name], records) for name in ids}
    return judge_values(found).drop(columns="setting")


def judge_values(found: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the verdicts of some claims on their values, one row a claim and cell.

    Args:
        found: `values` or `column_values`, by the claim's id.
    """
    claims = register.load()
    parts = []
    for name, rows in found.items():
        claim = claims[name]
        cells = judge(claim, rows).rename(columns={"word": "verdict"})
        cells["claim"] = claim.id
        cells["strategy"] = claim.strategies[0]
        cells["unit"] = claim.unit
        cells["is"] = claim.direction
        cells["margin"] = claim.margin
        if len(cells):
            parts.append(cells[["claim", *CELL, "strategy", "is", "margin", *JUDGED]])
    return pd.concat(parts, ignore_index=True)


def weakest(claim: Claim, cells: pd.DataFrame) -> pd.Series:
    """Return the cell nearest to failing.

    The statement is about all of them, so this one speaks for the claim.

    Args:
        claim: Any.
        cells: From `judge`.
    """
    rank = cells.word.map(WORDS.index)
    slack = _slack(claim, cells)
    ordered = cells.assign(rank=rank, slack=slack).sort_values(["rank", "slack"])
    return ordered.iloc[0]


def _slack(claim: Claim, cells: pd.DataFrame) -> pd.Series:
    """Return how far each cell's interval is on the right side: more is better."""
    if claim.direction == "above":
        return cells.low
    if claim.direction == "below":
        return -cells.high
    return -cells[["low", "high"]].abs().max(axis=1)
