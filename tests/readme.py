"""``python -m tests.readme``: take the last runs' tables into the clone, and fill the README.

No number in the README is typed: tests/test_readme.py makes the same text again and compares.
"""

import re
import shutil
from pathlib import Path

import nbformat

from hetlib.files import write_text
from hetlib_bundle.kept.source import results_folder
from hetlib_bundle.paths import NOTEBOOKS, RECORDED, RESULTS, ROOT
from hetlib_bundle.running.heads import Head, read_heads, statements
from tests.readme_results import KEPT, bundle, results_text
from tests.readme_tables import table


def record(results: Path = RESULTS) -> None:
    """Copy what the README shows out of finished runs; what was not run stays as it is.

    Tables and figures that were drawn from records count, too: the newer ones are taken.
    """
    for folder, names in KEPT.items():
        for name in names:
            found = [path for path in _places(results, folder, name) if path.exists()]
            if found:
                made = max(found, key=lambda path: path.stat().st_mtime)
                (RECORDED / folder).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(made, RECORDED / folder / made.name)


def _places(results: Path, folder: str, name: str) -> list[Path]:
    """Return where a file may be that was computed, or drawn from records."""
    computed = results / folder / name
    if name == "bundle.json":  # the seconds of drawing are not those of the runs
        return [computed]
    profile, *asked = folder.split("-")
    drawn = results_folder(profile, "recorded", asked)
    return [computed, results / drawn / name]


def notebooks_text() -> str:
    """Return one row a notebook, with the seconds of the recorded runs."""
    rows = []
    for head in read_heads():
        cells = [
            f"[{head.name}.ipynb](notebooks/{head.name}.ipynb)",
            _claims(head),
            _products(head),
            _seconds("quick", head),
            _seconds("standard", head),
        ]
        rows.append(cells)
    return table(["notebook", "claims", "products", "quick", "standard"], rows)


def _claims(head: Head) -> str:
    """Return the claims that a notebook names; "all" where it is about every one."""
    if set(head.claims) >= set(statements()):
        return "all"
    return ", ".join(head.claims)


def _products(head: Head) -> str:
    """Return the figures and tables that a notebook saves, by their names."""
    notebook = nbformat.read(NOTEBOOKS / f"{head.name}.ipynb", as_version=4)
    source = "\n".join(cell.source for cell in notebook.cells)
    saved = {
        (name, kind) for kind, name in re.findall(r'save_(figure|table)\(\s*\w+,\s*"(\w+)"', source)
    }
    return ", ".join(f"{kind} `{name}`" for name, kind in sorted(saved))


def _seconds(profile: str, head: Head) -> str:
    for entry in bundle(profile)["notebooks"]:
        if entry["name"] == head.name:
            return f"{entry['seconds']:.0f} s"
    return ""


def filled(readme: str) -> str:
    """Return the README with both generated parts made anew."""
    readme = _replaced(readme, "<!-- results: ", "<!-- end of results -->", results_text())
    return _replaced(readme, "<!-- notebooks -->", "<!-- end of notebooks -->", notebooks_text())


def _replaced(readme: str, begin: str, end: str, text: str) -> str:
    """Return the README with another text between two comments."""
    closed = "-->"
    start = readme.index(closed, readme.index(begin)) + len(closed)
    stop = readme.index(end)
    return f"{readme[:start]}\n\n{text}\n\n{readme[stop:]}"


if __name__ == "__main__":
    record()
    path = ROOT / "README.md"
    write_text(path, filled(path.read_text(encoding="utf-8")))
