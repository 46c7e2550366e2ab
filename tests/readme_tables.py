"""Recorded tables, and tables in Markdown."""

import pandas as pd

from hetlib_bundle.paths import RECORDED


def frame(folder: str, name: str) -> pd.DataFrame:
    """Return a recorded table.

    Args:
        folder: In data/recorded.
        name: Of the table.
    """
    return pd.read_csv(RECORDED / folder / f"{name}.csv")


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])
