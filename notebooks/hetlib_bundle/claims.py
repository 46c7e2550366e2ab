"""The register of claims (data/claims.yaml): read, checked, and judged from records and measured tables."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from hetlib.experiment import STRATEGIES
from hetlib.records import RunRecord
from hetlib_bundle import paths

from .verdict import DIRECTIONS, Verdict, verdict

__all__ = [
    "CELL",
    "Claim",
    "column_values",
    "judge",
    "judge_records",
    "judge_values",
    "load",
    "report",
]
__all__ += ["stored_records", "timed", "values"]

REGISTER = paths.DATA / "claims.yaml"
CELL = ["dataset", "model", "setting"]  # the setting is "" where only one is compared
WORDS = ("not supported", "underpowered", "supported")  # from bad to good


@dataclass(frozen=True)
class Claim:
    """One entry of the register; the head of ``data/claims.yaml`` explains its fields."""

    id: str
    statement: str
    quantity: str  # a key of QUANTITIES, or "column"
    unit: str
    strategies: Sequence[str]
    data: Mapping[str, str]
    direction: str
    margin: float
    least: int
    source: Mapping[str, Any]
    grid: Sequence[int] = field(default=(1, 1))  # or three numbers

    def __post_init__(self) -> None:
        margin_ok = isinstance(self.margin, (int, float)) and math.isfinite(self.margin)
        kinds = (*QUANTITIES, "column")
        needed = (
            QUANTITIES[self.quantity][1] if self.quantity in QUANTITIES else len(self.strategies)
        )
        known = {"notebook", "table"} | ({"column"} if self.quantity == "column" else set())
        # a record does not say for which setting it stands
        cell = CELL if self.quantity == "column" else CELL[:2]
        checks = [
            ("quantity", self.quantity in kinds, f"one of {list(kinds)}"),
            ("direction", self.direction in DIRECTIONS, f"one of {list(DIRECTIONS)}"),
            (
                "margin",
                margin_ok and (self.direction != "within" or self.margin > 0),
                "a number, > 0 for 'within'",
            ),
            ("least", isinstance(self.least, int) and self.least >= 2, "a whole number >= 2"),
            ("strategies", len(self.strategies) == needed, f"{needed} names for this quantity"),
            (
                "strategies",
                set(self.strategies) <= set(STRATEGIES),
                f"names out of {list(STRATEGIES)}",
            ),
            ("data", set(self.data) <= set(cell), f"a mapping with keys out of {cell}"),
            (
                "grid",
                len(self.grid) in (2, 3) and min(self.grid) >= 1,
                "whole numbers >= 1: data sets, CNNs, settings",
            ),
            (
                "source",
                known <= set(self.source) <= known | {"run_with"},
                f"a mapping of {sorted(known)}, run_with",
            ),
        ]
        for name, holds, allowed in checks:
            if not holds:
                raise ValueError(
                    f"claim {self.id}: `{name}` is {getattr(self, name)!r}; it must be {allowed}."
                )

    def folder(self, results: str) -> Path:
        """Return the folder that holds the claim's values, of the folder of results of that name."""
        return paths.RESULTS / "-".join(
            [results, *map(str, self.source.get("run_with", {}).values())]
        )

    def command(self, results: str) -> str:
        """Return the shell command that makes the claim's values, for the folder of results of that name."""
        given = dict(zip(("profile", "source"), results.split("-"), strict=False))
        if not (extra := self.source.get("run_with", {})):
            options = " ".join(f"--{name} {value}" for name, value in given.items())
            return f"hetlib reproduce {options} --only {self.source['notebook'][:2]}"
        # what is not among the records has to be computed
        recorded = given.pop("source", "") == "recorded"
        options = " ".join(f"-p {name} {value}" for name, value in (given | extra).items())
        command = f"papermill notebooks/{self.source['notebook']}.ipynb out.ipynb {options}"
        return (
            f"{command} -p source computed, then hetlib record --profile {given['profile']}"
            if recorded
            else command
        )


def load(path: Path = REGISTER) -> dict[str, Claim]:
    """Read the register: claims by id, in its order.

    Raises:
        ValueError: An unknown, missing or wrong field, or an id used twice; the message names claim
            and field.
    """
    entries = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("claims", [])
    allowed = {
        f.name: f.default is f.default_factory is dataclasses.MISSING
        for f in dataclasses.fields(Claim)
    }
    claims: dict[str, Claim] = {}
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise ValueError(
                f"claim number {number} in {path} is {entry!r}; write it as fields, see the file's head."
            )
        name = entry.get("id", f"number {number}")
        if unknown := sorted(set(entry) - set(allowed)):
            raise ValueError(
                f"claim {name} in {path} has unknown fields {unknown}; allowed are {list(allowed)}."
            )
        if missing := [key for key, needed in allowed.items() if needed and key not in entry]:
            raise ValueError(f"claim {name} in {path} lacks the fields {missing}; add them.")
        if name in claims:
            raise ValueError(
                f"claim {name} in {path} is there twice; a changed claim gets a new id."
            )
        claims[name] = Claim(**entry)
    return claims


def timed(record: RunRecord) -> dict[str, Any]:
    """Return a measured run's median step and mean epoch in seconds, and the part of it that the fastest one waits.

    The first epoch is a warm-up and left out; with several fastest replicas the first of them
    counts.
    """
    steps, epochs = len(record.step_seconds), record.epochs[-1]["epoch"]
    if epochs < 2:
        raise ValueError(
            f"run {record.fingerprint} has {epochs} epoch; a timed run needs 2, the first is a warm-up."
        )
    first = steps // epochs
    seconds = record.step_seconds[first:]
    fastest = int(np.argmin([replica["slowdown"] for replica in record.platform]))
    idle = float(np.asarray(record.steps["wait"])[first:, fastest].sum() / seconds.sum())
    return {
        "step": float(np.median(seconds)),
        "epoch": float(seconds.sum()) / (epochs - 1),
        "idle": idle,
    }


def ideal_speedup(slowdowns: Sequence[float]) -> float:
    """Return the speedup over equal shares if a step took n_r slow-down_r and nothing else: max(f) mean(1 / f)."""
    return max(slowdowns) * sum(1 / f for f in slowdowns) / len(slowdowns)


def _ideal(record: RunRecord) -> float:
    return ideal_speedup([replica["slowdown"] for replica in record.platform])


# From the runs of one seed, in the order of the claim's strategies, to one value; and how many
# strategies it takes.
QUANTITIES: Mapping[str, tuple[Callable[..., float], int]] = {
    "OA difference": (lambda a, b: 100 * (a.scores["oa"] - b.scores["oa"]), 2),
    "idle": (lambda a: timed(a)["idle"], 1),
    "speedup": (lambda a, b: timed(b)["step"] / timed(a)["step"], 2),
    "part of ideal speedup": (lambda a, b: timed(b)["step"] / timed(a)["step"] / _ideal(a), 2),
    "excess time": (lambda a, b: timed(a)["step"] / timed(b)["step"] - 1, 2),
}


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
    from . import recorded  # which reads the register itself

    if not claim.source.get("run_with"):
        return []
    name, *words = claim.folder(profile).name.split("-recorded")
    kept = (
        recorded.RECORDED / "".join([name, *words]) / f"{claim.source['notebook'][:2]}_runs.jsonl"
    )
    return recorded.read(kept)[2] if words and kept.exists() else []


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
