"""Values of the letter beside ours, once somebody has filled them in."""

from pathlib import Path

import pandas as pd

from hetlib_bundle import paths
from hetlib_bundle.claims.summary import COLUMNS

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
