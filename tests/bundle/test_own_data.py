"""The reader's own data in the notebooks, by parameters alone."""

import json
from pathlib import Path

import pandas as pd
import papermill
import pytest

from hetlib_bundle import claims, paths
from hetlib_bundle.profiles import PROFILES, options_given

from ..datasets.scenes import write_tree
from ..training.own import write_module


def test_options_are_given_as_text_or_as_a_mapping():
    assert options_given("") == {}
    assert options_given('{"root": "mine"}') == options_given({"root": "mine"}) == {"root": "mine"}
    for wrong in ("root=mine", "[1]", '"mine"'):
        with pytest.raises(ValueError, match="`dataset_options` is"):
            options_given(wrong)


def test_given_options_go_before_those_of_the_size():
    size = PROFILES["quick"]
    assert size.dataset_options("folder", {"root": "a"}) == {"size": 32, "root": "a"}
    assert size.dataset_options("folder", {"root": "a", "size": None})["size"] is None
    scene = size.dataset_options("scene", {"image": "a", "labels": "b"})
    assert scene == {"per_class": 200, "split_by": "stratified", "image": "a", "labels": "b"}
    assert size.dataset_options("mine:Data", {"samples": 3}) == {"samples": 3}
    each = {"folder": {"root": "a"}, "scene": {"image": "b"}}
    assert size.dataset_options("folder", each) == {"size": 32, "root": "a"}
    assert size.dataset_options("brandenburg", each) == {"per_class": 200, "split_by": "blocks"}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with class folders and a module, where the notebooks run and leave results."""
    write_tree(tmp_path / "my fields")
    write_module(tmp_path, "shapes_in_a_notebook")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HETLIB_RESULTS", str(tmp_path / "results"))
    return tmp_path


def executed(name: str, **parameters: object) -> None:
    notebook = str(paths.NOTEBOOKS / f"{name}.ipynb")
    papermill.execute_notebook(notebook, "out.ipynb", parameters, progress_bar=False)


@pytest.mark.slow
def test_accuracy_of_own_data_is_a_whole_table(mine: Path) -> None:
    """Class folders and code at once, their options by name."""
    options = {"folder": {"root": "my fields"}, "shapes_in_a_notebook:Shapes": {"size": 16}}
    executed(
        "07_accuracy",
        profile="quick",
        lrs=[0.05],
        datasets="folder,shapes_in_a_notebook:Shapes",
        dataset_options=json.dumps(options),
    )
    results = mine / "results" / "quick-my fields-Shapes"
    table = pd.read_csv(results / "tables" / "07_accuracy_table.csv")
    assert set(table.dataset) == {"my fields", "Shapes"}
    assert len(table) == 2 * 6
    assert table.notna().all(axis=None)
    assert (table[table.strategy == "balanced"]["OA - single"].abs() < 1e-9).all()
    verdicts = pd.read_csv(results / "tables" / "07_verdicts.csv")
    assert set(verdicts.dataset) == {"my fields", "Shapes"}


@pytest.mark.slow
def test_accuracy_says_where_no_claim_applies(mine: Path) -> None:
    """The claims about longer training are about one data set and network."""
    executed(
        "07_accuracy",
        profile="quick",
        lrs=[0.05],
        datasets="shapes_in_a_notebook:Shapes",
        dataset_options={"samples": 60, "size": 16},
        epochs=2,
    )
    results = mine / "results" / "quick-Shapes-2"
    assert pd.read_csv(results / "tables" / "07_verdicts.csv").empty
    assert claims.NO_CLAIM in (mine / "out.ipynb").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_plan_for_own_data_and_network(mine: Path) -> None:
    executed(
        "13_your_platform",
        profile="quick",
        dataset="shapes_in_a_notebook:Shapes",
        dataset_options={"samples": 60},
        model="shapes_in_a_notebook:Net",
        global_batch=16,
        steps=15,
        repeats=2,
    )
    results = mine / "results" / "quick"
    assert "on Shapes" in json.loads((results / "tables" / "13_plan.json").read_text())["caption"]
