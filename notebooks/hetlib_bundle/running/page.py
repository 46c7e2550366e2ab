"""The bundle as one page: figures, tables, how each notebook went, and what it all ran on."""

import base64
import json
from pathlib import Path
from typing import Any

import jinja2
import nbformat
import pandas as pd
from PIL import Image

from hetlib_bundle.claims import summary as reporting

ROWS = 60  # rows of a table that the page shows; the CSV beside it has them all


def render(target: Path, summary: dict[str, Any], notebooks: Path) -> str:
    """Return the page for the results in ``target``; see :func:`.runner.reproduce`."""
    entries = []
    for entry in summary["notebooks"]:
        name, number = entry["name"], entry["name"][:2]
        made = [*target.glob(f"figures/{number}_*.png"), *target.glob(f"tables/{number}_*.csv")]
        made.sort(key=lambda path: (path.stat().st_mtime, path.name))  # in the order they were made
        entries.append(
            entry
            | {"title": _title(notebooks / f"{name}.ipynb"), "products": list(map(_product, made))}
        )
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    report = target / "tables" / "99_report.csv"
    verdicts = reporting.rows(pd.read_csv(report)) if report.exists() else []
    return environment.get_template("page.html.j2").render(
        summary | {"notebooks": entries, "verdicts": verdicts}
    )


def _product(path: Path) -> dict[str, Any]:
    """Return what the page shows of a figure or table."""
    about = path.with_suffix(".json")
    caption = json.loads(about.read_text(encoding="utf-8"))["caption"] if about.exists() else ""
    files = [path.with_suffix(end) for end in (".pdf", ".png", ".csv", ".tex")]
    product = {"name": path.stem, "caption": caption, "folder": path.parent.name}
    product["files"] = [file.name for file in files if file.exists()]
    if path.suffix == ".csv":
        frame = pd.read_csv(path)
        html = frame.head(ROWS).to_html(
            index=False, na_rep="", float_format="{:.4g}".format, border=0
        )
        return product | {"html": html, "hidden": max(len(frame) - ROWS, 0)}
    with Image.open(path) as image:
        inches = image.width / image.info.get("dpi", (300, 300))[0]
    return product | {"png": base64.b64encode(path.read_bytes()).decode(), "inches": inches}


def _title(notebook: Path) -> str:
    """Return a notebook's first heading, or its name."""
    cells = [
        cell.source
        for cell in nbformat.read(notebook, as_version=4).cells
        if cell.cell_type == "markdown"
    ]
    headings = [line[2:].strip() for line in "\n".join(cells).splitlines() if line.startswith("# ")]
    return headings[0] if headings else notebook.stem
