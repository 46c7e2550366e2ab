"""Values of the letter beside ours, once somebody has filled them in."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from hetlib_bundle import paths
from hetlib_bundle.claims.summary import COLUMNS


class Ours(NamedTuple):
    """Where we have what the letter reports."""

    table: str
    column: str

    # From our unit to the letter's; scores are fractions in our tables.
    factor: float


# By metric and unit of reported.csv.
OURS = {
    ("oa", "%"): Ours("07_accuracy_table", "oa", 100.0),
    ("aa", "%"): Ours("07_accuracy_table", "aa", 100.0),
    ("kappa", "%"): Ours("07_accuracy_table", "kappa", 100.0),
    ("oa", ""): Ours("07_accuracy_table", "oa", 1.0),
    ("aa", ""): Ours("07_accuracy_table", "aa", 1.0),
    ("kappa", ""): Ours("07_accuracy_table", "kappa", 1.0),
    ("step time", "ms"): Ours("09_time", "step (ms)", 1.0),
    ("step time", "s"): Ours("09_time", "step (ms)", 1e-3),
    ("epoch time", "s"): Ours("09_time", "epoch (s)", 1.0),
    ("speedup", ""): Ours("09_time", "speedup", 1.0),
}


def load_reported(path: Path | None = None) -> pd.DataFrame:
    """Read the values that somebody with the letter has filled in; empty so far.

    Args:
        path: Of the file, by default ``data/letter/reported.csv``.

    Raises:
        ValueError: Other columns than `COLUMNS`, or a value that is no number.
    """
    path = path or paths.DATA / "letter" / "reported.csv"
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    columns = list(frame.columns)
    if columns != COLUMNS:
        raise ValueError(f"{path} has the columns {columns}; they must be {COLUMNS}.")
    numbers = pd.to_numeric(frame.value, errors="coerce")
    wrong = frame.value[numbers.isna()].tolist()
    if wrong:
        raise ValueError(
            f"{path} has the values {wrong}; write each as a plain number, such as 97.5."
        )
    return frame.assign(value=numbers)


def beside(reported: pd.DataFrame, tables: Path) -> pd.DataFrame:
    """Put our value beside each of the letter's; nothing where we have none.

    Ours is the one of the same data set, CNN, strategy and metric.

    Args:
        reported: From `load_reported`; metrics are those of `OURS`, in its units.
        tables: Folder of our tables.
    """
    found = [_ours(row, tables) for row in reported.to_dict("records")]
    return reported.assign(ours=pd.Series(found, index=reported.index, dtype=float))


def _ours(row: Mapping[Any, Any], tables: Path) -> float:
    """Return our value of what a row is about, in its unit; NaN where we have none."""
    known = OURS.get((str(row["metric"]).lower(), str(row["unit"])))
    if known is None:
        return math.nan
    path = tables / f"{known.table}.csv"
    if not path.exists():
        return math.nan
    table = pd.read_csv(path)
    for key in ("dataset", "model", "strategy"):
        if key in table:  # tables about one data set do not repeat its name
            table = table[table[key] == row[key]]
    if not len(table):
        return math.nan
    return known.factor * float(table[known.column].iloc[0])
