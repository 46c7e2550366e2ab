"""The report in words: verdicts as rows of text, and the letter's printed values beside ours."""

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from hetlib_bundle import paths

__all__ = [
    "COLUMNS",
    "beside",
    "load_reported",
    "markdown",
    "other_load",
    "others",
    "rows",
    "summary",
]

COLUMNS = ["item", "dataset", "model", "platform", "strategy", "metric", "value", "unit", "page"]
WORDS = ("supported", "not supported", "underpowered", "not run")
# A metric of reported.csv: table, column and factor to its unit; scores are fractions in our
# tables.
OURS = {
    ("oa", "%"): ("07_accuracy_table", "oa", 100.0),
    ("aa", "%"): ("07_accuracy_table", "aa", 100.0),
    ("kappa", "%"): ("07_accuracy_table", "kappa", 100.0),
    ("oa", ""): ("07_accuracy_table", "oa", 1.0),
    ("aa", ""): ("07_accuracy_table", "aa", 1.0),
    ("kappa", ""): ("07_accuracy_table", "kappa", 1.0),
    ("step time", "ms"): ("09_time", "step (ms)", 1.0),
    ("step time", "s"): ("09_time", "step (ms)", 1e-3),
    ("epoch time", "s"): ("09_time", "epoch (s)", 1.0),
    ("speedup", ""): ("09_time", "speedup", 1.0),
}


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


def load_reported(path: Path | None = None) -> pd.DataFrame:
    """Read the values that somebody with the letter has filled in; empty so far.

    Raises:
        ValueError: Other columns than `COLUMNS`, or a value that is no number.
    """
    path = path or paths.DATA / "letter" / "reported.csv"
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(frame.columns) != COLUMNS:
        raise ValueError(f"{path} has the columns {list(frame.columns)}; they must be {COLUMNS}.")
    numbers = pd.to_numeric(frame.value, errors="coerce")
    if wrong := frame.value[numbers.isna()].tolist():
        raise ValueError(
            f"{path} has the values {wrong}; write each as a plain number, such as 97.5."
        )
    return frame.assign(value=numbers)


def beside(reported: pd.DataFrame, tables: Path) -> pd.DataFrame:
    """Put our value beside each of the letter's that has the same data set, CNN, strategy and metric; else nothing.

    Args:
        reported: From `load_reported`; metrics are those of `OURS`, in its units.
        tables: Folder of our tables.
    """
    found = []
    for row in reported.itertuples():
        name, column, factor = OURS.get((str(row.metric).lower(), str(row.unit)), ("", "", 1.0))
        path = tables / f"{name}.csv"
        ours = pd.read_csv(path) if name and path.exists() else pd.DataFrame(columns=["strategy"])
        for key in ("dataset", "model", "strategy"):
            if key in ours:  # tables about one data set do not repeat its name
                ours = ours[ours[key] == getattr(row, key)]
        found.append(factor * float(ours[column].iloc[0]) if len(ours) else float("nan"))
    return reported.assign(ours=pd.Series(found, index=reported.index, dtype=float))
