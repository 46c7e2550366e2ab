"""The notebooks as files: clean, with parameters that papermill finds, and listed everywhere."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest

from hetlib_bundle.paths import NOTEBOOKS, ROOT
from hetlib_bundle.running import heads

SOURCES = sorted(NOTEBOOKS.glob("*.ipynb"))

# Of a cell: it fits beside its figure.
MOST_LINES = 20


def name_of(path: Path) -> str:
    return path.stem


def code_cells(path: Path) -> list[Any]:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks() -> None:
    assert SOURCES
    assert all(re.match(r"\d\d_", path.stem) for path in SOURCES)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_source_is_clean(path: Path) -> None:
    nbformat.validate(nbformat.read(path, as_version=4))
    for cell in code_cells(path):
        assert not cell.outputs
        assert cell.execution_count is None
        assert len(cell.source.splitlines()) <= MOST_LINES, cell.source
    metadata = json.loads(path.read_text())["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"


def unfilled(source: str) -> list[str]:
    """Return what stands in braces in strings as it is, and names something: an `f` is missing."""
    tree = ast.parse(source)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts = re.findall(r"\{([^{}:]+)", node.value)
            found += [text for text in texts if names_in(text) & names]
    return found


def names_in(text: str) -> set[str]:
    """Return the names in an expression; none where it is none."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError:
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_string_prints_its_braces(path: Path) -> None:
    assert unfilled("\n".join(cell.source for cell in code_cells(path))) == []


def test_a_missing_f_is_found() -> None:
    assert unfilled('steps = 3\nprint("in {steps} steps")') == ["steps"]
    assert unfilled('a = [1]\nprint(f"{a} of " "{len(a) - 1:d} plans")') == ["len(a) - 1"]
    assert unfilled('steps = 3\nprint(f"in {steps} steps", r"$n_{\\mathrm{eff}}$")') == []


def declared(cell: str) -> list[str]:
    """Return the names that a cell declares, one ``name: type = default`` a line."""
    names = []
    for statement in ast.parse(cell).body:
        assert isinstance(statement, ast.AnnAssign), "one 'name: type = default' a line"
        assert isinstance(statement.target, ast.Name)
        names.append(statement.target.id)
    return names


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_parameters_are_all_found(path: Path) -> None:
    tagged = [cell for cell in code_cells(path) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    found = papermill.inspect_notebook(path)
    assert declared(tagged[0].source) == list(found)
    assert {"profile", "source"} <= set(found)
    for parameter in found.values():
        assert parameter["help"], "each with a comment: unit, meaning"


def test_readme_lists_the_notebooks() -> None:
    listed = set(re.findall(r"\b(\d\d_\w+)\.ipynb", (ROOT / "README.md").read_text()))
    assert listed == {path.stem for path in SOURCES}


def test_index_is_made_from_the_heads_of_all_notebooks() -> None:
    names = [path.stem for path in SOURCES]
    found = heads.read_heads()
    assert [head.name for head in found] == names
    link = r"^- \[(\d\d_\w+)\.ipynb\]\((\d\d_\w+)\.ipynb\): \w"
    listed = re.findall(link, heads.notebooks_list(found), re.MULTILINE)
    assert listed == list(zip(names, names, strict=True))
    source = "\n".join(cell.source for cell in code_cells(NOTEBOOKS / "00_index.ipynb"))
    assert "heads.claims_table(" in source
    assert "heads.notebooks_list(" in source


def test_every_claim_has_notebooks() -> None:
    rows = heads.claims_table(heads.read_heads()).splitlines()[2:]
    claims = [row.split(" | ")[0] for row in rows]
    primary = [*(f"| Q{number}" for number in range(1, 6)), "| P6"]
    assert claims == [*primary, "| C1", "| C2", "| C3", "| C4", "| C5"]
    assert all(".ipynb" in row for row in rows)
