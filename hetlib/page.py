"""The bundle as one page: figures, tables, how each notebook went, and what it all ran on."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import jinja2
import nbformat
import pandas as pd
from nbconvert import HTMLExporter
from PIL import Image

__all__ = ["convert", "mark_stop", "products", "render", "write"]

ROWS = 60  # rows of a table that the page shows; the CSV beside it has them all


def convert(notebook: Path) -> None:
    """Write an executed notebook as a web page beside itself."""
    body, _ = HTMLExporter().from_filename(str(notebook))
    notebook.with_suffix(".html").write_text(body, encoding="utf-8")


def mark_stop(output: Path, message: str) -> int | None:
    """Put an error that papermill leaves out at a notebook's head; return the code cell it stopped in."""
    if not output.exists():
        return None
    notebook = nbformat.read(output, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    started = [i for i, cell in enumerate(code, 1) if cell.metadata.get("papermill", {}).get("start_time")]
    text = f"**Stopped in code cell {max(started, default=0)}**\n\n```\n{message}\n```"
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell(text))
    nbformat.write(notebook, output)
    return max(started, default=None)


def products(target: Path, notebook: str) -> list[dict[str, Any]]:
    """Return the figures and tables of a notebook, which begin with its number and an underscore."""
    kinds = (("figures", ".png"), ("tables", ".csv"))
    paths = [path for kind, end in kinds for path in (target / kind).glob(f"{notebook[:2]}_*{end}")]
    found = []
    for path in sorted(paths, key=lambda path: (path.stat().st_mtime, path.name)):  # as they were made
        kind, sidecar = path.parent.name, path.with_suffix(".json")
        told = json.loads(sidecar.read_text(encoding="utf-8")) if sidecar.exists() else {}
        files = [path.with_suffix(end) for end in (".pdf", ".png", ".csv", ".tex")]
        links = [(file.suffix[1:].upper(), f"{kind}/{file.name}") for file in files if file.exists()]
        item = {"name": path.stem, "caption": told.get("caption", ""), "links": links}
        found.append(item | (_picture(path) if kind == "figures" else _table(path)))
    return found


def _picture(path: Path) -> dict[str, Any]:
    """Embed a copy fit for a screen; the links lead to the print versions."""
    with Image.open(path) as image:
        inches = image.width / image.info.get("dpi", (150, 150))[0]
        image.thumbnail((1600, 1600))
        buffer = io.BytesIO()
        image.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"data": f"data:image/png;base64,{data}", "width": round(inches * 145)}


def _table(path: Path) -> dict[str, Any]:
    frame = pd.read_csv(path)
    html = frame.head(ROWS).to_html(index=False, na_rep="", float_format="{:.4g}".format, border=0)
    return {"html": html, "hidden": max(len(frame) - ROWS, 0)}


def _title(path: Path) -> str:
    """Return a notebook's first heading, or its name."""
    if path.exists():
        for cell in nbformat.read(path, as_version=4).cells:
            for line in cell.source.splitlines() if cell.cell_type == "markdown" else ():
                if line.startswith("# "):
                    return line[2:].strip()
    return path.stem


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.0f} s"


def render(target: Path, summary: dict[str, Any], notebooks: Path) -> str:
    """Return the page for the results in ``target``; see :func:`hetlib.bundle.reproduce`."""
    entries = [
        entry
        | {"title": _title(notebooks / f"{entry['name']}.ipynb"), "products": products(target, entry["name"])}
        | {"html": (target / "notebooks" / f"{entry['name']}.html").exists()}
        for entry in summary["notebooks"]
    ]
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["clock"] = _clock
    good = sum(entry["status"] == "succeeded" for entry in entries)
    return environment.get_template("page.html.j2").render(summary | {"notebooks": entries, "good": good})


def write(path: Path, text: str) -> None:
    """Write a text file beside its place and rename it, so that a reader never meets half of it."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
