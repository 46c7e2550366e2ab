"""Tables and figures, saved with their captions and the records behind them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from hetlib.files import write_text
from hetlib.training.records import RunRecord
from hetlib_bundle import paths
from hetlib_bundle.kept.keeper import Keeper

# Of a PNG, in dots an inch.
RESOLUTION = 300

# Without dates and names: an unchanged figure is an unchanged file.
PDF_METADATA = {"CreationDate": None, "Producer": None, "Creator": None}
PNG_METADATA = {"Software": None}

# Characters of a caption that LaTeX would take for its own.
SPECIAL = "%&_#"


def save_table(
    table: pd.DataFrame,
    name: str,
    *,
    caption: str,
    keep: Keeper,
    records: Sequence[RunRecord] = (),
    digits: int = 3,
) -> None:
    """Write a table as CSV and LaTeX, with its caption and the records behind it.

    Args:
        table: Its index is left out.
        name: Of the files, beginning with the notebook's number.
        caption: Where ``keep`` reads records, it goes on to say so.
        keep: The notebook's, which knows the folder.
        records: Behind the table.
        digits: After the point, in LaTeX; the CSV has them all.
    """
    caption += keep.note
    path = _product("tables", name, keep, caption, records)
    write_text(path.with_suffix(".csv"), table.to_csv(index=False, lineterminator="\n"))
    write_text(path.with_suffix(".tex"), _latex(table, name, caption, digits))


def _latex(table: pd.DataFrame, name: str, caption: str, digits: int) -> str:
    style = table.style.hide(axis="index")
    style = style.format(precision=digits, escape="latex")
    style = style.format_index(escape="latex", axis=1)
    escaped = caption.translate({ord(c): f"\\{c}" for c in SPECIAL})
    return style.to_latex(hrules=True, caption=escaped, label=f"tab:{name}")


def save_figure(
    figure: Figure,
    name: str,
    *,
    caption: str,
    keep: Keeper,
    records: Sequence[RunRecord] = (),
) -> None:
    """Write a figure as PDF and PNG, with its caption and the records behind it.

    An unchanged figure is an unchanged file.

    Args:
        figure: As it is printed.
        name: Of the files, beginning with the notebook's number.
        caption: Where ``keep`` reads records, it goes on to say so.
        keep: The notebook's, which knows the folder.
        records: Behind the figure.
    """
    path = _product("figures", name, keep, caption + keep.note, records)
    figure.savefig(path.with_suffix(".pdf"), metadata=PDF_METADATA)
    figure.savefig(path.with_suffix(".png"), dpi=RESOLUTION, metadata=PNG_METADATA)


def _product(
    kind: str, name: str, keep: Keeper, caption: str, records: Sequence[RunRecord]
) -> Path:
    """Write a note of caption and records, ``results/<folder>/<kind>/<name>.json``."""
    path = paths.RESULTS / keep.folder / kind / f"{name}.json"
    about = {"caption": caption, "records": sorted({record.fingerprint for record in records})}
    return write_text(path, json.dumps(about, indent=1) + "\n")
