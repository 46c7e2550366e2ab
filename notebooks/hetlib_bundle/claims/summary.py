"""The report in words: verdicts as rows of text, and the letter's printed values beside ours."""

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

COLUMNS = ["item", "dataset", "model", "platform", "strategy", "metric", "value", "unit", "page"]


WORDS = ("supported", "not supported", "underpowered", "not run")


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of `claims.report`'s table as text, three digits a number; missing values are empty."""
    filled, known = [], table.astype(object).where(table.notna(), "")
    for row in (
        {str(key): value for key, value in row.items()} for row in known.to_dict("records")
    ):
        ran = row["verdict"] != "not run"
        effect = f"{row['effect']:.3g} ({row['low']:.3g} to {row['high']:.3g})" if ran else ""
        margin = f"{row['margin']:g}"
        test = f"within ±{margin}" if row["is"] == "within" else f"{row['is']} {margin}"
        number = f"{row['n']:.0f}" if ran else ""
        filled.append(row | {"effect": effect, "test": test, "n": number})
    return filled


def markdown(table: pd.DataFrame) -> str:
    """Return the table of verdicts as Markdown, with a link to each notebook."""
    lines = [
        "| claim | statement | effect (95 % interval) | is | n | verdict | notebook |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows(table):
        link = f"[{row['notebook']}]({row['notebook']}.ipynb)"
        verdict = f"**{row['verdict']}**" + (f" ({row['note']})" if row["note"] else "")
        effect = f"{row['effect']} {row['unit']}".strip()
        cells = (row["claim"], row["statement"], effect, row["test"], row["n"], verdict, link)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def summary(table: pd.DataFrame) -> str:
    """Count the verdicts in one sentence."""
    count = Counter(table.verdict)
    parts = [f"{count[word]} {word}" for word in WORDS if count[word]]
    return f"Of {len(table)} statements, {', '.join(parts)}."


def other_load(tables: Path) -> float | None:
    """Return what other work took of the machine while `09_time` measured, in percent; None when that is not known."""
    path = tables / "09_verdicts.csv"
    column = pd.read_csv(path).get("other load (%)") if path.exists() else None
    return None if column is None else float(column.max())


def others(tables: Path) -> pd.DataFrame:
    """Return verdicts of notebooks that judge outside the register, from tables ``NN_verdict``: one row each."""
    parts = [
        pd.read_csv(path).assign(notebook=path.stem[:2])
        for path in sorted(tables.glob("[0-9][0-9]_verdict.csv"))
    ]
    known = ["notebook", "claim", "effect", "low", "high", "margin", "verdict"]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=known)
    return frame.rename(columns={"word": "verdict"}).reindex(columns=known)
