"""The bundle as one page: figures, tables, how each notebook went, and what it all ran on."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import nbformat
import pandas as pd
from PIL import Image

from hetlib_bundle.claims import summary as reporting

# Rows of a table that the page shows; the CSV beside it has them all.
ROWS = 60

# Files that a product may have.
ENDINGS = (".pdf", ".png", ".csv", ".tex")

# Dots per inch of an image that does not say.
USUAL_DPI = (300, 300)


def render(target: Path, summary: Mapping[str, Any], notebooks: Path) -> str:
    """Return the page for the results in a folder, as HTML.

    Args:
        target: The folder of results.
        summary: What its ``bundle.json`` holds; see `.ledger.Ledger`.
        notebooks: Folder of the notebooks, which know their titles.
    """
    entries = []
    for entry in summary["notebooks"]:
        title = _title(notebooks / f"{entry['name']}.ipynb")
        products = [_product(path) for path in _made(target, entry["name"])]
        entries.append({**entry, "title": title, "products": products})

    verdicts = []
    report = target / "tables" / "99_report.csv"
    if report.exists():
        judged = pd.read_csv(report)
        order = judged.role.map(list(reporting.PARTS).index)
        by_role = judged.assign(order=order).sort_values("order", kind="stable")
        verdicts = reporting.rows(by_role)

    template = _templates().get_template("page.html.j2")
    shown = {"notebooks": entries, "verdicts": verdicts, "parts": reporting.PARTS}
    return template.render({**summary, **shown})


def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _made(target: Path, name: str) -> list[Path]:
    """Return the figures and tables of a notebook, in the order in which they were made."""
    number = name[:2]
    figures = target.glob(f"figures/{number}_*.png")
    tables = target.glob(f"tables/{number}_*.csv")
    return sorted([*figures, *tables], key=_age)


def _age(path: Path) -> tuple[float, str]:
    return path.stat().st_mtime, path.name


def _product(path: Path) -> dict[str, Any]:
    """Return what the page shows of a figure or table."""
    files = [path.with_suffix(ending) for ending in ENDINGS]
    product = {
        "name": path.stem,
        "caption": _caption(path.with_suffix(".json")),
        "folder": path.parent.name,
        "files": [file.name for file in files if file.exists()],
    }
    shown = _table(path) if path.suffix == ".csv" else _figure(path)
    return product | shown


def _caption(about: Path) -> str:
    """Return the caption in the note beside a product; empty where there is none."""
    if not about.exists():
        return ""
    note = json.loads(about.read_text(encoding="utf-8"))
    return str(note["caption"])


def _table(path: Path) -> dict[str, Any]:
    """Return a table's first rows as HTML, and how many rows are left out."""
    frame = pd.read_csv(path)
    html = frame.head(ROWS).to_html(
        index=False,
        na_rep="",
        float_format="{:.4g}".format,
        border=0,
    )
    return {"html": html, "hidden": max(len(frame) - ROWS, 0)}


def _figure(path: Path) -> dict[str, Any]:
    """Return a figure as text, and its width in inches."""
    with Image.open(path) as image:
        dpi, _ = image.info.get("dpi", USUAL_DPI)
        inches = image.width / dpi
    png = base64.b64encode(path.read_bytes()).decode()
    return {"png": png, "inches": inches}


def _title(notebook: Path) -> str:
    """Return a notebook's first heading, or its name."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type != "markdown":
            continue
        for line in cell.source.splitlines():
            if line.startswith("# "):
                return str(line[2:].strip())
    return notebook.stem
