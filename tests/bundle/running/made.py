"""Small notebooks, written for a test and run by the real runner."""

import json
from pathlib import Path
from typing import Any

import nbformat

from hetlib_bundle.running import runner

PARAMETERS = 'profile: str = "full"  # size\nsource: str = ""  # computed or recorded'


def write_notebook(
    folder: Path,
    name: str,
    *cells: str,
    lane: int = 0,
    parameters: str = PARAMETERS,
) -> None:
    """Write a notebook of these cells; with a lane, one that may run beside others."""
    new = nbformat.v4
    metadata: dict[str, Any] = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    }
    if lane:
        metadata["hetlib"] = {"untimed": lane}
    written = [
        new.new_markdown_cell(f"# About {name}"),
        new.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
    ]
    written += [new.new_code_cell(cell) for cell in cells]
    notebook = new.new_notebook(cells=written, metadata=metadata)
    nbformat.write(notebook, folder / f"{name}.ipynb")


def appends(log: Path, text: str) -> str:
    """Return a cell that writes a text behind those that are there."""
    return f"with open({str(log)!r}, 'a') as file: file.write({text!r})"


def reproduce(folder: Path, *only: str, **options: Any) -> int:
    """Run the notebooks of a folder at the quick profile, into its folder ``r``."""
    return runner.reproduce("quick", only, folder / "r", folder, **options)


def summary(folder: Path, results: str = "quick") -> dict[str, Any]:
    """Return ``bundle.json`` as `reproduce` left it."""
    known: dict[str, Any] = json.loads((folder / "r" / results / "bundle.json").read_text())
    return known
