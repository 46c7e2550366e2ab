"""Records as a table; tables and figures, saved with their captions and the records behind them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from hetlib.training.records import RunRecord
from hetlib_bundle import paths
from hetlib_bundle.kept.keeper import Keeper


def _product(
    kind: str, name: str, keep: Keeper, caption: str, records: Sequence[RunRecord]
) -> Path:
    """Return ``results/<folder>/<kind>/<name>`` without its ending, beside a note of caption and records."""
    path = paths.RESULTS / keep.folder / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"caption": caption, "records": sorted({record.fingerprint for record in records})}
    path.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n")
    return path


def save_table(
    table: pd.DataFrame,
    name: str,
    *,
    caption: str,
    keep: Keeper,
    records: Sequence[RunRecord] = (),
    digits: int = 3,
) -> None:
    """Write a table as CSV (all digits) and LaTeX, with its caption and the records behind it.

    Where ``keep`` reads records, the caption says so.
    """
    caption += keep.note
    path = _product("tables", name, keep, caption, records)
    table.to_csv(path.with_suffix(".csv"), index=False)
    style = (
        table.style.hide(axis="index")
        .format(precision=digits, escape="latex")
        .format_index(escape="latex", axis=1)
    )
    escaped = caption.translate({ord(c): f"\\{c}" for c in "%&_#"})
    path.with_suffix(".tex").write_text(
        style.to_latex(hrules=True, caption=escaped, label=f"tab:{name}")
    )


def save_figure(
    figure: Figure, name: str, *, caption: str, keep: Keeper, records: Sequence[RunRecord] = ()
) -> None:
    """Write a figure as PDF and 300 dpi PNG without dates: an unchanged figure is an unchanged file."""
    path = _product("figures", name, keep, caption + keep.note, records)
    figure.savefig(
        path.with_suffix(".pdf"), metadata={"CreationDate": None, "Producer": None, "Creator": None}
    )
    figure.savefig(path.with_suffix(".png"), dpi=300, metadata={"Software": None})
