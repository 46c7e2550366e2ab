"""The real notebooks at quick size, as ``make reproduce`` runs them, and drawn from records."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

import hetlib
import hetlib.training.run
from hetlib_bundle import paths
from hetlib_bundle.paths import NOTEBOOKS
from hetlib_bundle.running import publish, runner
from hetlib_bundle.studies import costs

Entry = dict[str, Any]  # of bundle.json

NAMES = sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
# The first test to run waits for the whole runner.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    runner.reproduce("quick", results=results, source="computed")
    return results / "quick"


@pytest.fixture(scope="module")
def entries(target: Path) -> dict[str, Entry]:
    bundle = json.loads((target / "bundle.json").read_text())
    return {entry["name"]: entry for entry in bundle["notebooks"]}


@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs(name: str, entries: dict[str, Entry]) -> None:
    entry = entries[name]
    assert entry["status"] == "succeeded", f"cell {entry['cell']}: {entry['error']}"


def stems(folder: Path, pattern: str) -> set[str]:
    return {path.stem for path in folder.glob(pattern)}


@pytest.mark.parametrize("name", NAMES)
def test_notebook_leaves_its_products(name: str, target: Path) -> None:
    number = name[:2]
    figures = stems(target / "figures", f"{number}_*.png")
    tables = stems(target / "tables", f"{number}_*.csv")
    assert figures | tables
    assert figures == stems(target / "figures", f"{number}_*.pdf")
    assert tables == stems(target / "tables", f"{number}_*.tex")


def test_page_holds_every_product(target: Path) -> None:
    html = (target / "index.html").read_text(encoding="utf-8")
    figures = stems(target / "figures", "*.png")
    tables = stems(target / "tables", "*.csv")
    made = [*figures, *tables]
    assert made
    assert [name for name in made if f'id="{name}"' not in html] == []


def forbidden(name: str) -> Callable[..., None]:
    """Stand in for what no notebook may call while it draws from records."""
    return lambda *_, **__: pytest.fail(f"{name} was called")


def execute(name: str) -> None:
    """Run the cells of a notebook here, at quick size, from records."""
    names: dict[str, Any] = {}
    for cell in nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source, names)
        if "parameters" in cell.metadata.get("tags", []):
            names |= {"profile": "quick", "source": "recorded"}


@pytest.fixture(scope="module")
def from_records(target: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results that all notebooks drew where nothing can be trained or measured."""
    recorded = tmp_path_factory.mktemp("recorded")
    standard = "standard"  # what comes with the clone is drawn at any size, too
    shutil.copytree(paths.RECORDED / standard, recorded / standard)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "RESULTS", target.parent)
        patch.setattr(paths, "RECORDED", recorded)
        publish.publish("quick")
        patch.setenv("HETLIB_BATCH", "1")
        for name in ("Replicas", "VirtualReplicas", "measure", "plan_experiment"):
            patch.setattr(hetlib, name, forbidden(name))
        patch.setattr(hetlib.training.run, "train_replica", forbidden("train"))
        patch.setattr(costs, "cost", forbidden("cost"))
        for name in NAMES:
            execute(name)
    return target.with_name("quick-recorded")


def products(name: str, target: Path) -> list[Path]:
    """Return the figures, tables and maps of a notebook, as paths below the folder of results."""
    found: list[Path] = []
    for end in ("png", "pdf", "csv", "tif"):
        found += target.glob(f"*/{name[:2]}_*.{end}")
    return sorted(path.relative_to(target) for path in found)


@pytest.mark.parametrize("name", NAMES)
def test_records_draw_the_same(name: str, target: Path, from_records: Path) -> None:
    made = products(name, target)
    assert made
    for path in made:
        if path.name == "99_report.csv":  # the command that makes what is missing is another
            drawn = pd.read_csv(from_records / path).drop(columns="note")
            computed = pd.read_csv(target / path).drop(columns="note")
            pd.testing.assert_frame_equal(drawn, computed, check_exact=True)
        else:
            assert (from_records / path).read_bytes() == (target / path).read_bytes(), path


@pytest.mark.parametrize("name", [name for name in NAMES if name != "02_datasets"])
def test_captions_say_what_is_recorded(name: str, target: Path, from_records: Path) -> None:
    for path in target.glob(f"*/{name[:2]}_*.json"):
        computed = json.loads(path.read_text())
        drawn = json.loads((from_records / path.relative_to(target)).read_text())
        assert drawn["records"] == computed["records"]
        assert drawn["caption"].startswith(f"{computed['caption']} Recorded 2")
        assert "Recorded" not in computed["caption"]
