"""The report in words: verdicts as rows of text, and the letter's printed values beside ours."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hetlib_bundle.claims.extract import WORTH
from hetlib_bundle.claims.register import CHECK, DESCRIPTIVE, PILOT, PRIMARY

# Of the file with the letter's values.
COLUMNS = ["item", "dataset", "model", "platform", "strategy", "metric", "value", "unit", "page"]

WORDS = ("supported", "not supported", "underpowered", "not run")

# Of checks, which hold or are faults.
CHECKED = ("identical", "holds", "broken", "not run")

# Headings of the parts of the report, by role, in the order of interest.
PARTS = {
    PRIMARY: "Primary claims",
    PILOT: "Pilot",
    DESCRIPTIVE: "Descriptive statements",
    CHECK: "Checks",
}

# How the unit of a logarithm begins.
LOGARITHM = "log of "

# Of a table of verdicts outside the register.
OTHERS = ["notebook", "claim", "effect", "low", "high", "margin", "verdict"]


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of `claims.report`'s table as text, three digits a number.

    Args:
        table: One row a claim; missing values become empty.
    """
    known = table.astype(object).where(table.notna(), "")
    return [_as_text(row) for row in known.to_dict("records")]


def _as_text(values: dict[Any, Any]) -> dict[str, Any]:
    """Return a row with its interval, test and number of values as text."""
    row = {str(key): value for key, value in values.items()}
    margin = f"{row['margin']:g}"
    if row["is"] == "within":
        margin = f"±{margin}"

    effect = ""
    number = ""
    unit = row.get("unit", "")
    if row["verdict"] != "not run":
        effect = f"{row['effect']:.3g} ({_between(row)})"
        number = f"{row['n']:.0f}"
        if unit.startswith(LOGARITHM):
            unit += f"; as a factor {_factor(row)}"
    worth = row.get(WORTH, "")
    if worth != "" and worth < 1:
        unit += f"; n_eff/B {worth:.2f}"
    probability = "" if row["p"] == "" else f"{row['p']:.2g}"
    shown = {
        "effect": effect,
        "unit": unit,
        "test": f"{row['is']} {margin}",
        "n": number,
        "p": probability,
    }
    return row | shown


def _factor(row: dict[str, Any]) -> str:
    """Return what a logarithm and its interval are as a factor, as text."""
    factor, low, high = (np.exp(row[name]) for name in ("effect", "low", "high"))
    return f"{factor:.2f} ({low:.2f} to {high:.2f})"


def _between(row: dict[str, Any]) -> str:
    """Return an interval as text, or why there is none."""
    if math.isinf(row["high"]):
        return "a single value has no interval"
    return f"{row['low']:.3g} to {row['high']:.3g}"


def markdown(table: pd.DataFrame) -> str:
    """Return the table of verdicts as Markdown, with a link to each notebook.

    Args:
        table: Of `claims.report`, one row a claim.
    """
    effect = "effect (95 % interval)"
    if len(table) and (table.role == CHECK).all():
        effect = "value nearest to failing (lowest to highest)"
    lines = [
        f"| claim | statement | {effect} | has to be | n | p | verdict | notebook |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows(table):
        verdict = f"**{row['verdict']}**"
        if row["note"]:
            verdict += f" ({row['note']})"
        cells = [
            row["claim"],
            row["statement"],
            f"{row['effect']} {row['unit']}".strip(),
            row["test"],
            row["n"],
            row["p"],
            verdict,
            f"[{row['notebook']}]({row['notebook']}.ipynb)",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def summary(table: pd.DataFrame) -> str:
    """Count the verdicts, part by part, in one sentence each.

    Args:
        table: Of `claims.report`, one row a claim.
    """
    sentences = []
    for role, heading in PARTS.items():
        part = table[table.role == role]
        if not len(part):
            continue
        words = CHECKED if role == CHECK else WORDS
        count = Counter(part.verdict)
        counted = [f"{count[word]} {word}" for word in words if count[word]]
        sentences.append(f"{heading} ({len(part)}): {', '.join(counted)}.")
    return " ".join(sentences)


def other_load(tables: Path) -> float | None:
    """Return what other work took of the machine while `09_time` measured, in percent.

    Args:
        tables: Folder of our tables.

    Returns:
        The largest share; None when it is not known.
    """
    path = tables / "09_verdicts.csv"
    if not path.exists():
        return None
    column = pd.read_csv(path).get("other load (%)")
    if column is None:
        return None
    return float(column.max())


def others(tables: Path) -> pd.DataFrame:
    """Return verdicts of notebooks that judge outside the register, one row each.

    Args:
        tables: Folder of our tables; those named ``NN_verdict`` are read.
    """
    parts = []
    for path in sorted(tables.glob("[0-9][0-9]_verdict.csv")):
        part = pd.read_csv(path)
        parts.append(part.assign(notebook=path.stem[:2]))
    if not parts:
        return pd.DataFrame(columns=OTHERS)
    frame = pd.concat(parts, ignore_index=True)
    return frame.rename(columns={"word": "verdict"}).reindex(columns=OTHERS)
