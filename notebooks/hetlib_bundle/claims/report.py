"""The whole register, judged from stored results."""

import json
from pathlib import Path

import pandas as pd

from hetlib.training.records import RunRecord
from hetlib_bundle import paths
from hetlib_bundle.claims.extract import column_values, values
from hetlib_bundle.claims.judge import _JUDGED, judge, weakest
from hetlib_bundle.claims.register import CELL, Claim, load
from hetlib_bundle.kept.keeper import RECORDED, read


def stored_records(profile: str, table: str, folder: Path | None = None) -> list[RunRecord]:
    """Return the records behind a table of ``results/<profile>`` (or of ``folder``); none where one is missing."""
    about = (folder or paths.RESULTS / profile) / "tables" / f"{table}.json"
    names = json.loads(about.read_text())["records"] if about.exists() else []
    found = [RunRecord.load(paths.RESULTS / profile / "runs" / f"{name}.json") for name in names]
    return [record for record in found if record] if all(found) else []


def collect(claim: Claim, profile: str) -> pd.DataFrame | str:
    """Return a claim's `values` from the stored results, or what is missing."""
    table = claim.folder(profile) / "tables" / f"{claim.source['table']}.csv"
    if not table.exists():
        if (runs := _recorded_runs(claim, profile)) and len(found := values(claim, runs)):
            return found
        return f"no table {table.stem}"
    if claim.quantity != "column":
        found = values(claim, stored_records(profile, table.stem, claim.folder(profile)))
        return found if len(found) else f"records of {table.stem} are missing"
    found = column_values(claim, pd.read_csv(table))
    return found if len(found) else f"no values of {claim.source['column']} in table {table.stem}"


def _recorded_runs(claim: Claim, profile: str) -> list[RunRecord]:
    """Return the recorded runs of a claim that a bundle of all notebooks does not draw, for a recorded profile."""
    if not claim.source.get("run_with"):
        return []
    name, *words = claim.folder(profile).name.split("-recorded")
    kept = RECORDED / "".join([name, *words]) / f"{claim.source['notebook'][:2]}_runs.jsonl"
    return read(kept)[2] if words and kept.exists() else []


def report(profile: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judge the whole register from ``results/<profile>``: one row a claim, and one row a claim and cell.

    A claim over a grid takes the word and the numbers of its `weakest` cell: that all cells hold is
    tested at the level of one test (intersection-union), without a correction. A smaller grid than
    asked cannot be supported.
    """
    rows, parts = [], []
    for claim in load().values():
        row = {
            "claim": claim.id,
            "statement": claim.statement,
            "verdict": "not run",
            "notebook": claim.source["notebook"],
        }
        row |= {"unit": claim.unit, "is": claim.direction, "margin": claim.margin, "note": ""}
        found = collect(claim, profile)
        if isinstance(found, str):
            rows.append(row | {"note": f"{found}: {claim.command(profile)}"})
            continue
        cells = judge(claim, found)
        worst = weakest(claim, cells)
        sizes = [cells[name].nunique() for name in CELL[: len(claim.grid)]]
        small = any(size < wanted for size, wanted in zip(sizes, claim.grid, strict=True))
        word = "underpowered" if small and worst.word == "supported" else worst.word
        have, wanted = (" x ".join(map(str, numbers)) for numbers in (sizes, claim.grid))
        note = (
            f"{have} of {wanted} data sets x CNNs{' x settings' * (len(sizes) > 2)}"
            if small
            else ""
        )
        note = note or (f"fewer than {claim.least} values" if worst.n < claim.least else "")
        row |= {"verdict": word, "n": worst.n, "cells": len(cells), "note": note}
        rows.append(row | {name: worst[name] for name in ("effect", "low", "high")})
        parts.append(
            cells.rename(columns={"word": "verdict"}).assign(claim=claim.id, unit=claim.unit)
        )
    columns = [
        "claim",
        "statement",
        "effect",
        "low",
        "high",
        "unit",
        "is",
        "margin",
        "n",
        "cells",
        "verdict",
    ]
    table = pd.DataFrame(rows).reindex(columns=[*columns, "note", "notebook"])
    cells = (
        pd.concat(parts, ignore_index=True)
        if parts
        else pd.DataFrame(columns=["claim", *CELL, *_JUDGED])
    )
    return table, cells[["claim", *CELL, *_JUDGED]]
