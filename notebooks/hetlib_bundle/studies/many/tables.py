"""Tables of what was trained: a row a run, paired differences over seeds, and marks of bad runs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hetlib.balanced.shares import slashed
from hetlib_bundle.claims.verdict import interval, verdict
from hetlib_bundle.studies.many.cells import OWN, REFERENCE
from hetlib_bundle.studies.many.conditions import Condition
from hetlib_bundle.studies.many.designs import Design
from hetlib_bundle.studies.many.samples import SCORES
from hetlib_bundle.studies.many.work import Books, cell_of, floors_of

# Within so many percentage points two conditions count as one.
MARGIN = 1.0

# Standard errors of a share that a run must be above a guess.
ABOVE_CHANCE = 2.0

# What may be wrong with a run.
AT_CHANCE = "at chance"
BELOW_THE_FLOOR = "below the floor"
MARKS = (AT_CHANCE, BELOW_THE_FLOOR)

# What a difference is taken between: the run of one seed in one cell.
CELL = ["recipe", "steps", "seed"]

POINTS = 100.0  # of a fraction of 1


def runs_table(design: Design, books: Books) -> pd.DataFrame:
    """Return all runs that there are, computed where the books compute.

    Args:
        design: Which cells.
        books: One a recipe.

    Returns:
        A row a seed, cell and rate: ``recipe``, ``kind``, ``sampling``, ``shares``, ``ratio``
        (n_eff / B of a plain mean with these shares), ``n_eff`` (of this gradient), ``steps``,
        ``seed``, ``role`` (the cell's own searched rate, or the reference's: that of one process),
        ``rate``, ``edge`` (the searched optimum is at the end of the grid), ``oa``, ``aa``,
        ``kappa``, ``worst`` (recall of the worst class; all four in percent), ``loss`` (training,
        at the end), ``forest``, ``logistic``, ``floor`` (the better one) and ``chance`` in percent,
        and ``mark``: "at chance", "below the floor" or "".
    """
    rows: list[dict[str, Any]] = []
    for cell in design.cells():
        record = cell_of(cell, books[cell.recipe])
        floors = floors_of(design, cell.recipe, books[cell.recipe])
        if record is not None and floors is not None:
            rows += _rows(record, floors, cell.condition)
    return pd.DataFrame(rows)


def missing(design: Design, books: Books) -> int:
    """Return how many cells of a design are not recorded.

    Args:
        design: Which cells.
        books: One a recipe.
    """
    return sum(books[cell.recipe].find(cell.work) is None for cell in design.cells())


def _rows(
    record: Mapping[str, Any], floors: Mapping[str, Any], condition: Condition
) -> Iterator[dict[str, Any]]:
    """Yield a row a seed and rate of a cell."""
    about = {
        "recipe": record["recipe"],
        "kind": record["kind"],
        "sampling": record["sampling"],
        "shares": slashed(record["shares"]),
        "ratio": condition.plain_n_eff / condition.global_batch,
        "n_eff": record["n_eff"],
        "steps": record["steps"],
        "edge": record["edge"],
    }
    for role in (OWN, REFERENCE):
        run = record["runs"][role]
        for place, seed in enumerate(record["seeds"]):
            scores = {name: POINTS * run[name][place] for name in SCORES}
            found = {**scores, "loss": run["loss"][place], **_floors(floors, place)}
            mark = mark_of(found["oa"], found["floor"], found["chance"], floors["tested"][place])
            yield {**about, "role": role, "rate": run["rate"], "seed": seed, **found, "mark": mark}


def _floors(floors: Mapping[str, Any], place: int) -> dict[str, float]:
    found = {name: POINTS * floors[name][place] for name in ("forest", "logistic", "chance")}
    return {**found, "floor": max(found["forest"], found["logistic"])}


def mark_of(oa: float, floor: float, chance: float, tested: int) -> str:
    """Return what is wrong with a run, "" where nothing is.

    Args:
        oa: Its test OA, percent.
        floor: What a classical method gets, percent.
        chance: What a guess gets, percent.
        tested: Number of test samples.
    """
    share = chance / POINTS
    error = POINTS * np.sqrt(share * (1 - share) / tested)
    if oa <= chance + ABOVE_CHANCE * error:
        return AT_CHANCE
    if oa < floor:
        return BELOW_THE_FLOOR
    return ""


def marks_of(runs: pd.DataFrame) -> dict[str, int]:
    """Return how many runs have each mark.

    Args:
        runs: With the column ``mark``.
    """
    return {mark: int((runs.mark == mark).sum()) for mark in MARKS}


def marks_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how the conditions compare with the floors.

    Args:
        runs: From `runs_table`.

    Returns:
        A row a recipe, condition, length and role: means in percent of ``oa``, ``forest``,
        ``logistic``, ``chance``; ``at chance`` and ``below the floor``: numbers of ``runs``.
    """
    group = ["recipe", "kind", "sampling", "shares", "steps", "role"]
    rows = []
    for names, found in runs.groupby(group, sort=False):
        counts = marks_of(found)
        means = {name: found[name].mean() for name in ("oa", "forest", "logistic", "chance")}
        rows.append({**dict(zip(group, names, strict=True)), **means, **counts, "runs": len(found)})
    return pd.DataFrame(rows)


def chosen(
    runs: pd.DataFrame,
    kind: str,
    sampling: str = "iid",
    role: str = OWN,
) -> pd.DataFrame:
    """Return the runs of a condition at a rate.

    Args:
        runs: From `runs_table`.
        kind: Of the condition.
        sampling: Of the condition.
        role: Of the rate.
    """
    return runs[(runs.kind == kind) & (runs.sampling == sampling) & (runs.role == role)]


def differences(
    runs: pd.DataFrame,
    reference: pd.DataFrame,
    score: str = "oa",
) -> pd.DataFrame:
    """Return the differences of runs to those of the same recipe, length and seed.

    Args:
        runs: Of one condition, for one or several shares.
        reference: Of another condition, with the same shares unless it is one process's.
        score: A column.

    Returns:
        The rows of ``runs`` that have a partner, with ``difference`` and ``edges``: the rate of one
        of the two is at the end of its grid; and ``mark beside``.
    """
    on = list(CELL)
    if set(reference.kind) != {"single"}:
        on.append("shares")
    beside = reference[[*on, score, "edge", "mark"]]
    both = runs.merge(beside, on=on, suffixes=("", " beside"))
    difference = both[score] - both[f"{score} beside"]
    return both.assign(difference=difference, edges=both.edge | both["edge beside"])


def summary(found: pd.DataFrame, by: Sequence[str], direction: str = "") -> pd.DataFrame:
    """Return means over seeds with their 95 % t-intervals.

    Args:
        found: From `differences`.
        by: Columns that tell the groups apart.
        direction: Of a verdict with `MARGIN`; "" gives none.

    Returns:
        ``by``, ``n_eff``, ``effect``, ``low``, ``high``, ``seeds``, ``edges``, ``at chance`` (pairs
        of runs of which one or both are), ``below the floor`` (runs of the first condition), and
        ``verdict``: an optimum at the end of a grid leaves it underpowered.
    """
    rows = []
    for names, group in found.groupby(list(by), sort=False):
        mean, half = interval(group.difference)
        row: dict[str, Any] = dict(zip(by, names, strict=True))
        row |= {"n_eff": group.n_eff.iloc[0], "effect": mean}
        row |= {"low": mean - half, "high": mean + half, "seeds": len(group)}
        row["edges"] = bool(group.edges.any())
        row |= marks_of(group)
        lost = (group.mark == AT_CHANCE) | (group["mark beside"] == AT_CHANCE)
        row[AT_CHANCE] = int(lost.sum())
        if direction:
            word = verdict(group.difference, MARGIN, direction).word
            row["verdict"] = "underpowered" if row["edges"] else word
        rows.append(row)
    return pd.DataFrame(rows)


def small_batch_table(runs: pd.DataFrame, role: str = OWN) -> pd.DataFrame:
    """Return the plain mean over i.i.d. draws minus one process with the batch round(n_eff).

    Args:
        runs: From `runs_table`.
        role: Of the rates: each its own, or both the reference's.

    Returns:
        As `summary`, by ``recipe``, ``shares``, ``steps``; the verdict is on "within one point".
    """
    found = differences(
        chosen(runs, "plain", role=role),
        chosen(runs, "small", role=role),
    )
    return summary(found, ["recipe", "shares", "steps"], "within")


def shards_table(runs: pd.DataFrame, score: str = "oa") -> pd.DataFrame:
    """Return what is lost with shards, each condition at its own rate.

    Args:
        runs: From `runs_table`.
        score: "oa", "aa" or "worst".

    Returns:
        As `summary`, by ``recipe``, ``shares``, ``sampling``, ``steps`` and ``beside``: "balanced"
        (the same shards, balanced), and "random" (plain, random shards: what remains is due to
        which samples a shard has, not to how many).
    """
    by = ["recipe", "shares", "sampling", "steps"]
    parts = []
    for sampling in ("iid", "random", "region", "class", "half"):
        plain = chosen(runs, "plain", sampling)
        balanced = chosen(runs, "balanced", sampling)
        if sampling == "iid":
            balanced = chosen(runs, "single")
        parts.append(_beside(plain, balanced, score, by, "balanced"))
        if sampling not in ("iid", "random"):
            control = chosen(runs, "plain", "random")
            parts.append(_beside(plain, control, score, by, "random"))
    return pd.concat(parts, ignore_index=True)


def _beside(
    plain: pd.DataFrame,
    reference: pd.DataFrame,
    score: str,
    by: Sequence[str],
    name: str,
) -> pd.DataFrame:
    if plain.empty or reference.empty:
        return pd.DataFrame()
    return summary(differences(plain, reference, score), by).assign(beside=name)


def own_rate_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the gap of the plain mean to one process at one process's rate and at its own.

    Args:
        runs: From `runs_table`.

    Returns:
        As `summary`, by ``recipe``, ``sampling``, ``shares``, ``steps`` and ``role``; the verdict
        is on "the gap is within one point".
    """
    parts = []
    single = chosen(runs, "single")
    for role in (REFERENCE, OWN):
        plain = runs[(runs.kind == "plain") & (runs.role == role)]
        found = differences(plain, single)
        by = ["recipe", "sampling", "shares", "steps", "role"]
        parts.append(summary(found, by, "within"))
    return pd.concat(parts, ignore_index=True)
