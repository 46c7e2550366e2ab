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
            "claim C9.1: `direction` is 'up'; allowed are \\['above', 'below', 'within'\\]",
        ),
        ({"quantity": "speed"}, "`quantity` is 'speed'"),
        ({"role": "main"}, "`role` is 'main'; allowed are \\['check', 'primary', 'pilot', 'desc"),
        ({"role": "primary"}, "`why` is ''; it must be the reason of the margin"),
        ({"repeats": "point"}, "`repeats` is 'point'; allowed are \\['seed', 'sitting'"),
        ({"margin": True}, "`margin` is True; it must be a finite number"),
        ({"least": 2.5}, "`least` is 2.5; it must be a whole number >= 2"),
        ({"id": 7}, "`id` is 7; it must be text that is not empty"),
        ({"id": ["C9.1"]}, r"`id` is \['C9.1'\]"),
        ({"statement": None}, "C9.1: `statement` is None; it must be text"),
        ({"why": 3}, "C9.1: `why` is 3; it must be text"),
        ({"quantity": ["speed"]}, r"`quantity` is \['speed'\]"),
        ({"strategies": "single"}, "`strategies` is 'single'; it must be a sequence"),
        ({"strategies": [["single"], "single"]}, r"`strategies\[0\]` is \['single'\]; allowed"),
        ({"data": ["wake"]}, r"`data` is \['wake'\]; it must be a mapping"),
        ({"data": {"dataset": 3}}, r"`data\['dataset'\]` is 3; it must be text"),
        ({"grid": 3}, "`grid` is 3; it must be a sequence of at least 2 items"),
        ({"source": "07_accuracy"}, "`source` is '07_accuracy'; it must be a mapping"),
        ({"source": {**GOOD["source"], "table": None}}, r"`source\['table'\]` is None"),
        ({"source": {**GOOD["source"], "run_with": 1}}, r"`source\['run_with'\]` is 1"),
        ({"over": "most"}, "`over` is 'most'; allowed are \\['every', 'any'"),
        ({"margin": "1 point"}, "`margin` is '1 point'; it must be a finite number"),
        ({"margin": -1.0, "direction": "within"}, "`margin` is -1.0"),
        ({"least": 1}, "`least` is 1; it must be a whole number >= 2"),
        ({"strategies": ["single"]}, "it must be a sequence of 2 items"),
        ({"strategies": ["best", "single"]}, "`strategies\\[0\\]` is 'best'; allowed are"),
        ({"data": {"scene": "wake"}}, "`data` has the unknown key 'scene'; allowed are"),
        ({"source": {"notebook": "07_accuracy"}}, r"`source` lacks \['table'\]"),
        ({"source": {**GOOD["source"], "column": "x"}}, "`source` has the unknown key 'column'"),
        ({"grid": [0, 2]}, "`grid\\[0\\]` is 0; it must be a whole number >= 1"),
        ({"grid": [1, 1, 1, 1]}, "must be two or three numbers: data sets, CNNs, settings"),
        # of records
        (
            {"data": {"setting": "base"}},
            "`data` has the unknown key 'setting'; allowed are \\['dataset', 'model'\\]",
        ),
        (
            {"colour": "red"},
            "claims.yaml': `claim 'C9.1'` has the unknown key 'colour'; allowed are",
        ),
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
    with pytest.raises(ValueError, match=r"claim 'C9.1'` lacks \['margin'\]"):
        claims.load(path)

    path = register(tmp_path, GOOD, GOOD)
    message = r"C9\.1: `id` is there twice; a changed claim gets a new id"
    with pytest.raises(ValueError, match=message):
        claims.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "claims.yaml': `the register` is None; it must be a mapping"),
        ("- claims", r"`the register` is \['claims'\]"),
        ("claim: []", r"`the register` has the unknown key 'claim' \(meant: 'claims'"),
        ("claims: 3", "`claims` is 3; it must be a sequence"),
        ("claims: [C1.1]", r"`claims\[0\]` is 'C1.1'; it must be a mapping"),
        ("claims: [{3: x}]", r"`claims\[0\]` has the key 3; its keys must be text"),
        ("claims: [", "claims.yaml', line 1: no file of valid YAML"),
        ("claims: []\nclaims: []", "claims.yaml', line 2: "),
        ("claims:\n  - id: \xff", "claims.yaml', line 2: no text in UTF-8"),
    ],
)
def test_a_damaged_register_is_refused_by_its_name(
    content: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "claims.yaml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        claims.load(path)


def test_a_register_that_is_not_there_or_no_file_is_refused_by_its_name(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ValueError, match=f"register of claims '{path}'"):
            claims.load(path)
