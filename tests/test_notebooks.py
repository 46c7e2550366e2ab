"""The real notebooks at quick size, once, as ``make reproduce`` runs them."""

import json
from pathlib import Path
from typing import Any

import pytest

from hetlib.paths import NOTEBOOKS
from hetlib_bundle import runner

NAMES = sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
# The first test to run waits for the whole runner.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    runner.reproduce("quick", results=results)
    return results / "quick"


@pytest.fixture(scope="module")
def entries(target: Path) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in json.loads((target / "bundle.json").read_text())["notebooks"]}


@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs(name: str, entries: dict[str, dict[str, Any]]) -> None:
    entry = entries[name]
    assert entry["status"] == "succeeded", f"cell {entry['cell']}: {entry['error']}"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "00_index"])
def test_notebook_leaves_its_products(name: str, target: Path) -> None:
    figures = {path.stem for path in (target / "figures").glob(f"{name[:2]}_*.png")}
    tables = {path.stem for path in (target / "tables").glob(f"{name[:2]}_*.csv")}
    assert figures | tables
    assert figures == {path.stem for path in (target / "figures").glob(f"{name[:2]}_*.pdf")}
    assert tables == {path.stem for path in (target / "tables").glob(f"{name[:2]}_*.tex")}


def test_page_holds_every_product(target: Path) -> None:
    html = (target / "index.html").read_text(encoding="utf-8")
    made = [*(target / "figures").glob("*.png"), *(target / "tables").glob("*.csv")]
    assert made
    assert [path.stem for path in made if f'id="{path.stem}"' not in html] == []
