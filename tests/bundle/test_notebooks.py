"""The real notebooks at quick size, once, as ``make reproduce`` runs them, and then drawn from what they kept."""

import json
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

NAMES = sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
# The first test to run waits for the whole runner.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    runner.reproduce("quick", results=results, source="computed")
    return results / "quick"


@pytest.fixture(scope="module")
def entries(target: Path) -> dict[str, dict[str, Any]]:
    return {
        entry["name"]: entry
        for entry in json.loads((target / "bundle.json").read_text())["notebooks"]
    }


@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs(name: str, entries: dict[str, dict[str, Any]]) -> None:
    entry = entries[name]
    assert entry["status"] == "succeeded", f"cell {entry['cell']}: {entry['error']}"


@pytest.mark.parametrize("name", NAMES)
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


@pytest.fixture(scope="module")
def from_records(target: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results that all notebooks drew where nothing can be trained or measured."""

    def forbidden(name: str) -> Callable[..., None]:
        return lambda *_, **__: pytest.fail(f"{name} was called")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "RESULTS", target.parent)
        patch.setattr(paths, "RECORDED", tmp_path_factory.mktemp("recorded"))
        publish.publish("quick")
        patch.setenv("HETLIB_BATCH", "1")
        for name in ("Replicas", "VirtualReplicas", "measure", "plan_experiment"):
            patch.setattr(hetlib, name, forbidden(name))
        patch.setattr(hetlib.training.run, "train_replica", forbidden("train"))
        patch.setattr(costs, "cost", forbidden("cost"))
        for name in NAMES:
            names: dict[str, Any] = {}
            for cell in nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells:
                if cell.cell_type == "code":
                    exec(cell.source, names)
                if "parameters" in cell.metadata.get("tags", []):
                    names |= {"profile": "quick", "source": "recorded"}
    return target.with_name("quick-recorded")


@pytest.mark.parametrize("name", NAMES)
def test_records_draw_the_same(name: str, target: Path, from_records: Path) -> None:
    made = sorted(
        path.relative_to(target)
        for end in ("png", "pdf", "csv", "tif")
        for path in target.glob(f"*/{name[:2]}_*.{end}")
    )
    assert made
    for path in made:
        if path.name == "99_report.csv":  # the command that makes what is missing is another
            drawn, report = (
                pd.read_csv(folder / path).drop(columns="note") for folder in (from_records, target)
            )
            pd.testing.assert_frame_equal(drawn, report, check_exact=True)
        else:
            assert (from_records / path).read_bytes() == (target / path).read_bytes(), path


@pytest.mark.parametrize("name", [name for name in NAMES if name != "02_datasets"])
def test_captions_say_what_is_recorded(name: str, target: Path, from_records: Path) -> None:
    for path in target.glob(f"*/{name[:2]}_*.json"):
        computed, drawn = (
            json.loads((folder / path.parent.name / path.name).read_text())
            for folder in (target, from_records)
        )
        assert drawn["records"] == computed["records"]
        assert drawn["caption"].startswith(f"{computed['caption']} Recorded 2")
        assert "Recorded" not in computed["caption"]
