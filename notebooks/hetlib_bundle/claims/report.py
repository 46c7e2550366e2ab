"""The whole register, judged from stored results."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from hetlib.training.records import RunRecord
from hetlib_bundle import paths
from hetlib_bundle.claims import register
from hetlib_bundle.claims.extract import WORTH, column_values, values
from hetlib_bundle.claims.family import holm
from hetlib_bundle.claims.judge import JUDGED, combined, judge, speaking, word_of_claim
from hetlib_bundle.claims.register import CELL, CHECK, COLUMN, PRIMARY, Claim
from hetlib_bundle.claims.verdict import SUPPORTED, UNDERPOWERED, Evidence, word_of
from hetlib_bundle.kept.lines import read

# Of the table of claims.
COLUMNS = [
    "claim",
    "role",
    "statement",
    "effect",
    "low",
    "high",
    "unit",
    "is",
    "margin",
    "n",
    WORTH,
    "cells",
    "p",
    "verdict",
    "note",
    "notebook",
]


class Report(NamedTuple):
    """The register, judged."""

    # One row a claim: `COLUMNS`.
    table: pd.DataFrame

    # One row a claim and cell.
    cells: pd.DataFrame


def report(profile: str) -> Report:
    """Judge the whole register from ``results/<profile>``.

    A claim over a grid takes the numbers of the cell that speaks for it, and the word that its
    cells say together (`judge.combined`). A smaller grid than asked cannot be supported. The
    primary claims of the register are a family: their p-values are corrected for its size
    (`family.holm`), also where some of them could not be judged.

    Args:
        profile: Name of a folder of results.

    Returns:
        One row a claim, and one row a claim and cell.
    """
    rows = []
    parts = []
    family: dict[str, Evidence] = {}
    for claim in register.load().values():
        about = _about(claim)
        found = collect(claim, profile)
        if isinstance(found, str):
            rows.append(about | {"note": f"{found}: {claim.command(profile)}"})
            continue
        cells = judge(claim, found)
        judged = _judged(claim, cells)
        rows.append(about | judged)
        if claim.role == PRIMARY and not judged["note"]:
            family[claim.id] = combined(claim, cells)
        named = cells.rename(columns={"word": "verdict"})
        parts.append(named.assign(claim=claim.id, unit=claim.unit))

    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    table = _corrected(table, family)
    shown = ["claim", *CELL, WORTH, *JUDGED]
    if not parts:
        return Report(table, pd.DataFrame(columns=shown))
    return Report(table, pd.concat(parts, ignore_index=True)[shown])


def _corrected(table: pd.DataFrame, family: dict[str, Evidence]) -> pd.DataFrame:
    """Return the table with words and p-values of the primary claims corrected for their number."""
    size = sum(claim.role == PRIMARY for claim in register.load().values())
    wrong = holm({name: found.against_wrong for name, found in family.items()}, size)
    right = holm({name: found.against_right for name, found in family.items()}, size)
    table = table.copy()
    for name in family:
        row = table.claim == name
        table.loc[row, "p"] = wrong[name]
        table.loc[row, "verdict"] = word_of(Evidence(wrong[name], right[name]))
    return table


def _about(claim: Claim) -> dict[str, Any]:
    """Return the row of a claim that has no values."""
    return {
        "claim": claim.id,
        "role": claim.role,
        "statement": claim.statement,
        "verdict": "not run",
        "notebook": claim.source["notebook"],
        "unit": claim.unit,
        "is": claim.direction,
        "margin": claim.margin,
        "note": "",
    }


def _judged(claim: Claim, cells: pd.DataFrame) -> dict[str, Any]:
    """Return what the row of a claim says where it has values."""
    told = speaking(claim, cells)
    word = word_of_claim(claim, cells)
    note = _smaller_grid(claim, cells)
    if note and word == SUPPORTED:
        word = UNDERPOWERED
    if not note and word == UNDERPOWERED:
        note = _weakest_note(cells)
    judged = {
        "verdict": word,
        "n": told.n,
        WORTH: told[WORTH],
        "cells": len(cells),
        "note": note,
        "effect": told.effect,
        "low": told.low,
        "high": told.high,
    }
    if claim.role != CHECK:
        judged["p"] = combined(claim, cells).against_wrong
    return judged


def _weakest_note(cells: pd.DataFrame) -> str:
    """Return why cells could not be judged, each reason once; empty where they could."""
    reasons = dict.fromkeys(note for note in cells.note if note)
    return "; ".join(reasons)


def _smaller_grid(claim: Claim, cells: pd.DataFrame) -> str:
    """Say by how much the grid is smaller than the claim asks; empty where it is not."""
    names = CELL[: len(claim.grid)]
    sizes = [cells[name].nunique() for name in names]
    if all(size >= wanted for size, wanted in zip(sizes, claim.grid, strict=True)):
        return ""
    have = " x ".join(map(str, sizes))
    wanted = " x ".join(map(str, claim.grid))
    settings = " x settings" if len(sizes) > 2 else ""
    return f"{have} of {wanted} data sets x CNNs{settings}"


def collect(claim: Claim, profile: str) -> pd.DataFrame | str:
    """Return a claim's `values` from the stored results, or what is missing.

    Args:
        claim: Any.
        profile: Name of a folder of results.
    """
    name = claim.source["table"]
    folder = claim.folder(profile)
    table = folder / "tables" / f"{name}.csv"
    if not table.exists():
        runs = _recorded_runs(claim, profile)
        missing = f"no table {name}"
        if not runs:
            return missing
        found = values(claim, runs)
    elif claim.quantity == COLUMN:
        found = column_values(claim, pd.read_csv(table))
        missing = f"no values of {claim.source['column']} in table {name}"
    else:
        found = values(claim, stored_records(profile, name, folder))
        missing = f"records of {name} are missing"
    return found if len(found) else missing


def stored_records(profile: str, table: str, folder: Path | None = None) -> list[RunRecord]:
    """Return the records behind a table.

    Args:
        profile: Name of the folder of results that holds the records.
        table: Its name.
        folder: Of results that holds the table; by default the same.

    Returns:
        The records; none where one is missing.
    """
    results = paths.RESULTS / profile
    about = (folder or results) / "tables" / f"{table}.json"
    if not about.exists():
        return []
    found = []
    for name in json.loads(about.read_text(encoding="utf-8"))["records"]:
        record = RunRecord.load(results / "runs" / f"{name}.json")
        if record is None:
            return []
        found.append(record)
    return found


def _recorded_runs(claim: Claim, profile: str) -> list[RunRecord]:
    """Return recorded runs that a bundle of all notebooks does not draw, for a recorded profile."""
    if not claim.source.get("run_with"):
        return []
    name, *words = claim.folder(profile).name.split("-recorded")
    if not words:
        return []
    folder = paths.RECORDED / "".join([name, *words])
    kept = folder / f"{claim.source['notebook'][:2]}_runs.jsonl"
    return read(kept).runs if kept.exists() else []
