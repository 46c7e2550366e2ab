"""The register of claims: what it refuses, and that what it names exists."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hetlib.datasets.catalog import DATASETS
from hetlib.models.registry import MODELS
from hetlib_bundle import claims, paths
from tests.bundle.claims.made import GOOD


def register(folder: Path, *entries: dict[str, Any]) -> Path:
    """Write a register of these claims."""
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": list(entries)}))
    return path


def test_the_register_names_what_exists() -> None:
    missing = set()
    for one in claims.load().values():
        notebook = paths.NOTEBOOKS / f"{one.source['notebook']}.ipynb"
        assert notebook.exists(), one.id
        if f'\\"{one.source["table"]}\\"' not in notebook.read_text():
            missing.add(one.id)
        assert one.data.get("dataset", "wake") in DATASETS
        assert one.data.get("model", "smallcnn") in MODELS
    assert missing == set()


def test_every_claim_of_the_letter_is_taken_apart() -> None:
    of_the_letter = {one.split(".")[0] for one in claims.load()}
    assert of_the_letter >= {"C1", "C2", "C3", "C4", "C5"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"direction": "up"},
            "claim C9.1: `direction` is 'up'; it must be one of \\['above', 'below', 'within'\\]",
        ),
        ({"quantity": "speed"}, "`quantity` is 'speed'"),
        ({"role": "main"}, "`role` is 'main'; it must be one of \\['check', 'primary', 'desc"),
        ({"role": "primary"}, "`why` is ''; it must be the reason of the margin"),
        ({"repeats": "point"}, "`repeats` is 'point'; it must be one of \\['seed', 'sitting'"),
        ({"over": "most"}, "`over` is 'most'; it must be one of \\['every', 'any'"),
        ({"margin": "1 point"}, "`margin` is '1 point'; it must be a number"),
        ({"margin": -1.0, "direction": "within"}, "`margin` is -1.0"),
        ({"least": 1}, "`least` is 1; it must be a whole number >= 2"),
        ({"strategies": ["single"]}, "it must be 2 names"),
        ({"strategies": ["best", "single"]}, "names out of"),
        ({"data": {"scene": "wake"}}, "`data` is"),
        ({"source": {"notebook": "07_accuracy"}}, "`source` is"),
        ({"source": {**GOOD["source"], "column": "x"}}, "`source` is"),
        ({"grid": [0, 2]}, "`grid` is \\[0, 2\\]"),
        ({"grid": [1, 1, 1, 1]}, "must be whole numbers >= 1: data sets, CNNs, settings"),
        # of records
        ({"data": {"setting": "base"}}, "`data` is .* keys out of \\['dataset', 'model'\\]"),
        ({"colour": "red"}, "claim C9.1 in .* has unknown fields \\['colour'\\]; allowed are"),
    ],
)
def test_wrong_fields_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = register(tmp_path, GOOD | changes)
    with pytest.raises(ValueError, match=message):
        claims.load(path)


def test_missing_fields_and_double_ids_are_refused(tmp_path: Path) -> None:
    without = dict(GOOD)
    del without["margin"]
    path = register(tmp_path, without)
    with pytest.raises(ValueError, match="lacks the fields \\['margin'\\]"):
        claims.load(path)

    path = register(tmp_path, GOOD, GOOD)
    message = r"C9\.1 in .* is there twice; a changed claim gets a new id"
    with pytest.raises(ValueError, match=message):
        claims.load(path)
