"""Claims judged from their values: one row a claim and cell, each with one of a few words.

A check is no statistic. Its words are "identical" (no bit of any value differs), "holds" (every
value is where it must be) and "broken"; its numbers are the value nearest to failing, the smallest
and the largest.
"""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from hetlib.training.records import RunRecord
from hetlib_bundle.claims import register
from hetlib_bundle.claims.extract import EDGE, SITTING, TRAINED, WORTH, values
from hetlib_bundle.claims.register import CELL, CHECK, Claim
from hetlib_bundle.claims.verdict import (
    NOT_SUPPORTED,
    SUPPORTED,
    UNDERPOWERED,
    Evidence,
    Verdict,
    evidence,
    verdict,
    word_of,
)

IDENTICAL = "identical"
HOLDS = "holds"
BROKEN = "broken"

# From bad to good.
WORDS = (NOT_SUPPORTED, UNDERPOWERED, SUPPORTED)
CHECK_WORDS = (BROKEN, HOLDS, IDENTICAL)

# What a table of verdicts says of each cell.
JUDGED = ["n", "effect", "low", "high", "verdict", "unit"]

# What a notebook says where a table of verdicts has no row.
NO_CLAIM = "No claim applies: those of this notebook are about other data, networks or lengths."

# What `judge` returns beside the cell: what the gradient is worth (nan where nobody says), the
# verdict, the evidence, and why it is weak.
COLUMNS = [*CELL, WORTH, "n", *Verdict._fields, *Evidence._fields, "note"]


def judge(claim: Claim, found: pd.DataFrame) -> pd.DataFrame:
    """Judge each cell of a claim: data set, CNN and setting.

    A cell is underpowered, whatever its values, with fewer values than the claim asks for, with a
    best rate at the edge of those tried, and with runs that learnt nothing.

    Args:
        claim: Any.
        found: Its `values` or `column_values`.

    Returns:
        One row a cell: `COLUMNS`.
    """
    rows = []
    for cell, group in found.groupby(CELL, sort=False):
        worth = float(group[WORTH].iloc[0]) if WORTH in group else float("nan")
        if claim.role == CHECK:
            rows.append((*cell, worth, *_checked(claim, group)))
        else:
            rows.append((*cell, worth, *_tested(claim, group)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _tested(claim: Claim, group: pd.DataFrame) -> tuple[object, ...]:
    """Return number, verdict, evidence and note of a cell of a claim."""
    if claim.repeats == register.SITTING:
        group = _by_sitting(group)
    judged = verdict(group.value, claim.margin, claim.direction)
    weighed = evidence(group.value, claim.margin, claim.direction)
    note = _weakness(claim, group)
    if note:
        judged = judged._replace(word=UNDERPOWERED)
        weighed = Evidence(1.0, 1.0)
    return (len(group), *judged, *weighed, note)


def _by_sitting(group: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each sitting's values; values without a sitting are all of one."""
    if SITTING not in group:
        group = group.assign(sitting=0)
    means = group.groupby(SITTING, sort=False).value.mean()
    return pd.DataFrame({"value": means})


def _weakness(claim: Claim, group: pd.DataFrame) -> str:
    """Say what keeps a cell from being judged; empty where nothing does."""
    if len(group) < claim.least:
        unit = "sittings" if claim.repeats == register.SITTING else "values"
        return f"fewer than {claim.least} {unit}"
    if EDGE in group and group[EDGE].any():
        return "the best rate is at the edge of those tried"
    if TRAINED in group and not group[TRAINED].all():
        untrained = int((~group[TRAINED].astype(bool)).sum())
        if untrained == len(group):
            return "too many runs learnt no more than a guess"
        return f"{untrained} of {len(group)} runs learnt no more than a guess"
    return ""


def _checked(claim: Claim, group: pd.DataFrame) -> tuple[object, ...]:
    """Return the same of a cell of a check, which holds for every value or is broken."""
    numbers = group.value
    low = float(numbers.min())
    high = float(numbers.max())
    worst = {"above": low, "below": high, "within": max(low, high, key=abs)}[claim.direction]
    right = {
        "above": worst > claim.margin,
        "below": worst < claim.margin,
        "within": abs(worst) < claim.margin,
    }[claim.direction]

    word = BROKEN
    if right:
        same = claim.direction != "above" and bool((numbers == 0).all())
        word = IDENTICAL if same else HOLDS
    judged = Verdict(word, worst, low, high)
    return (len(group), *judged, *Evidence(float("nan"), float("nan")), "")


def judge_records(ids: Iterable[str], records: Sequence[RunRecord]) -> pd.DataFrame:
    """Return the verdicts of some claims on some records, for a notebook's own table.

    Args:
        ids: Of the claims.
        records: That the caller read or made.

    Returns:
        One row a claim and cell; a claim about other data than the records' has none, so that
        there may be none at all (`NO_CLAIM` says so).
    """
    claims = register.load()
    found = {name: values(claims[name], records) for name in ids}
    return judge_values(found).drop(columns="setting")


def judge_values(found: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the verdicts of some claims on their values, one row a claim and cell.

    Each cell is judged by itself; only the report corrects the primary claims for their number.

    Args:
        found: `values` or `column_values`, by the claim's id.

    Returns:
        The same columns, whether there are rows or none.
    """
    claims = register.load()
    shown = ["claim", *CELL, "strategy", WORTH, "is", "margin", *JUDGED]
    parts = []
    for name, rows in found.items():
        claim = claims[name]
        cells = judge(claim, rows).rename(columns={"word": "verdict"})
        cells["claim"] = claim.id
        cells["strategy"] = claim.strategies[0] if claim.strategies else ""
        cells["unit"] = claim.unit
        cells["is"] = claim.direction
        cells["margin"] = claim.margin
        if len(cells):
            parts.append(cells[shown])
    if not parts:
        return pd.DataFrame(columns=shown)
    return pd.concat(parts, ignore_index=True)


def combined(claim: Claim, cells: pd.DataFrame) -> Evidence:
    """Return the evidence of a claim over its cells.

    A statement about every cell is right where the weakest cell's test says so, at the level of one
    test (intersection-union); that it is wrong somewhere is a union of tests, whose smallest p
    counts as many times as there are cells (Bonferroni). A statement about any cell is the other
    way round.

    Args:
        claim: No check.
        cells: From `judge`.
    """
    wrong = cells.against_wrong
    right = cells.against_right
    if claim.over == register.ANY:
        return Evidence(min(1.0, len(cells) * wrong.min()), float(right.max()))
    return Evidence(float(wrong.max()), min(1.0, len(cells) * right.min()))


def word_of_claim(claim: Claim, cells: pd.DataFrame) -> str:
    """Return the word of a claim or check over its cells, without a correction for other claims.

    Args:
        claim: Any.
        cells: From `judge`.
    """
    if claim.role == CHECK:
        return min(cells.word, key=CHECK_WORDS.index)
    return word_of(combined(claim, cells))


def speaking(claim: Claim, cells: pd.DataFrame) -> pd.Series:
    """Return the cell that speaks for a claim.

    Of a statement about every cell it is the one nearest to failing, of one about any cell the one
    that holds best.

    Args:
        claim: Any.
        cells: From `judge`.
    """
    words = CHECK_WORDS if claim.role == CHECK else WORDS
    rank = cells.word.map(words.index)
    slack = _slack(claim, cells)
    # a single sitting has no interval, so that all have the same slack
    gain = _slack(claim, cells.assign(low=cells.effect, high=cells.effect))
    order = ["rank", "slack", "gain"]
    ordered = cells.assign(rank=rank, slack=slack, gain=gain).sort_values(order)
    return ordered.iloc[-1 if claim.over == register.ANY else 0]


def _slack(claim: Claim, cells: pd.DataFrame) -> pd.Series:
    """Return how far each cell's interval is on the right side: more is better."""
    if claim.direction == "above":
        return cells.low
    if claim.direction == "below":
        return -cells.high
    return -cells[["low", "high"]].abs().max(axis=1)
