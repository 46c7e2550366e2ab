"""The register of claims: what it refuses, how values are paired and judged, and that notebooks and data exist."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from hetlib.datasets.catalog import DATASETS
from hetlib.models.registry import MODELS
from hetlib.training.records import RunRecord
from hetlib_bundle import claims, paths
from hetlib_bundle.kept import keeper as recorded

GOOD: dict[str, Any] = {
    "id": "C9.1",
    "statement": "Plain loses.",
    "quantity": "OA difference",
    "unit": "points",
    "strategies": ["uneven-plain", "single"],
    "data": {"dataset": "wake"},
    "direction": "below",
    "margin": -1.0,
    "least": 3,
    "source": {"notebook": "07_accuracy", "table": "07_verdicts"},
}


def run(
    strategy: str,
    seed: int,
    oa: float = 0.5,
    dataset: str = "wake",
    *,
    step: float = 0,
    wait: float = 0,
) -> RunRecord:
    """Return a record of two replicas, the second four times slower, with six steps over three epochs."""
    phases = {"compute": [[step - wait, step]] * 6, "wait": [[wait, 0.0]] * 6}
    phases |= {name: [[0.0, 0.0]] * 6 for name in ("communicate", "update")}
    experiment = {"strategy": strategy, "dataset": dataset, "model": "smallcnn", "seed": seed}
    return RunRecord(
        fingerprint=f"{strategy}-{seed}-{dataset}",
        experiment=experiment,
        platform=[{"slowdown": 1.0}, {"slowdown": 4.0}],
        mode="processes",
        times="measured",
        shares=[96, 32],
        lr=0.1,
        speeds=[4.0, 1.0],
        epochs=[{"epoch": 3, "step": 6, "loss": 1.0, "oa": oa, "aa": oa, "kappa": oa}],
        confusion=[[1]],
        steps=phases if step else {},
    )


def claim(**changes: Any) -> claims.Claim:
    return claims.Claim(**GOOD | changes)


def test_the_register_names_what_exists() -> None:
    for one in claims.load().values():
        assert (paths.NOTEBOOKS / f"{one.source['notebook']}.ipynb").exists(), one.id
        source = (paths.NOTEBOOKS / f"{one.source['notebook']}.ipynb").read_text()
        assert f'\\"{one.source["table"]}\\"' in source, one.id
        assert one.data.get("dataset", "wake") in DATASETS
        assert one.data.get("model", "smallcnn") in MODELS


def test_every_claim_of_the_letter_is_taken_apart() -> None:
    assert {one.split(".")[0] for one in claims.load()} >= {"C1", "C2", "C3", "C4", "C5"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"direction": "up"},
            "claim C9.1: `direction` is 'up'; it must be one of \\['above', 'below', 'within'\\]",
        ),
        ({"quantity": "speed"}, "`quantity` is 'speed'"),
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
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": [GOOD | changes]}))
    with pytest.raises(ValueError, match=message):
        claims.load(path)


def test_missing_fields_and_double_ids_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": [{k: v for k, v in GOOD.items() if k != "margin"}]}))
    with pytest.raises(ValueError, match="lacks the fields \\['margin'\\]"):
        claims.load(path)
    path.write_text(yaml.safe_dump({"claims": [GOOD, GOOD]}))
    with pytest.raises(
        ValueError, match=r"C9\.1 in .* is there twice; a changed claim gets a new id"
    ):
        claims.load(path)


def test_values_are_paired_by_seed_and_limited_to_the_data() -> None:
    records = [
        run("single", 0, 0.60),
        run("uneven-plain", 0, 0.50),
        run("single", 1, 0.7),
        run("uneven-plain", 1, 0.65),
    ]
    records += [
        run("single", 2),
        run("uneven-plain", 0, 0.1, "brandenburg"),
        run("single", 0, 0.9, "brandenburg"),
    ]
    found = claims.values(claim(), records)
    assert found.seed.tolist() == [0, 1]  # seed 2 has no partner
    assert found.value.tolist() == pytest.approx([-10, -5])
    with pytest.raises(ValueError, match="two records of single"):
        claims.values(claim(), [*records, run("single", 0)])


def test_times_by_hand() -> None:
    """A fast replica computes 1 s and waits 3 s of each of two steps an epoch; the first epoch is left out."""
    slow, quick = run("equal", 0, step=4.0, wait=3.0), run("balanced", 0, step=2.0, wait=0.5)
    slow.steps["compute"][0] = [99.0, 99.0]
    assert claims.timed(slow) == {"step": 4.0, "epoch": 8.0, "idle": 0.75}
    value = {
        name: claims.values(
            claim(quantity=name, strategies=["balanced", "equal"]), [slow, quick]
        ).value[0]
        for name in ("speedup", "part of ideal speedup", "excess time")
    }
    assert value == pytest.approx(
        {"speedup": 2.0, "part of ideal speedup": 2.0 / 2.5, "excess time": -0.5}
    )
    assert claims.values(
        claim(quantity="idle", strategies=["equal"]), [slow, quick]
    ).value.tolist() == [0.75]
    with pytest.raises(ValueError, match="a timed run needs 2"):
        claims.timed(dataclasses.replace(slow, epochs=[slow.epochs[0] | {"epoch": 1}]))


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ([-5.0, -6.0, -5.5], "supported"),
        ([-5.0, -6.0], "underpowered"),  # clear, but fewer than 3 values
        ([0.1, 0.2, 0.15], "not supported"),
        ([0.1, 0.15], "underpowered"),
        ([-9.0, 3.0, -5.0], "underpowered"),
    ],
)
def test_words(values: list[float], word: str) -> None:
    found = pd.DataFrame(
        {"dataset": "wake", "model": "smallcnn", "setting": "", "seed": range(len(values))}
    )
    found["value"] = values
    assert claims.judge(claim(), found).word.tolist() == [word]


def store(folder: Path, records: list[RunRecord], table: str = "07_verdicts") -> None:
    """Leave what notebook 07 leaves."""
    for record in records:
        record.save(folder / "quick" / "runs")
    (folder / "quick" / "tables").mkdir(parents=True, exist_ok=True)
    (folder / "quick" / "tables" / f"{table}.csv").write_text("claim\n")
    about = {"caption": "", "records": [record.fingerprint for record in records]}
    (folder / "quick" / "tables" / f"{table}.json").write_text(json.dumps(about))


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(claims.paths, "RESULTS", tmp_path)
    return tmp_path


def test_a_claim_over_a_grid_is_as_good_as_its_weakest_cell(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oa = {("wake", "single"): 0.6, ("wake", "uneven-plain"): 0.5, ("brandenburg", "single"): 0.4}
    records = [
        run(
            strategy,
            seed,
            oa.get((dataset, strategy), 0.395) + seed / 1000 * (strategy == "single"),
            dataset,
        )
        for dataset in ("wake", "brandenburg")
        for strategy in ("single", "uneven-plain")
        for seed in range(3)
    ]
    store(results, records)
    grids = {"A": claim(data={}, grid=[2, 1]), "B": claim(grid=[2, 1]), "C": claim(grid=[1, 1])}
    monkeypatch.setattr(
        claims,
        "load",
        lambda: {name: dataclasses.replace(one, id=name) for name, one in grids.items()},
    )
    table, cells = claims.report("quick")
    table = table.set_index("claim")
    assert table.verdict.to_dict() == {"A": "not supported", "B": "underpowered", "C": "supported"}
    assert table.effect["A"] == pytest.approx(-0.6)
    assert table.note["B"] == "1 x 1 of 2 x 1 data sets x CNNs"
    assert len(cells) == 4


def test_what_is_missing_is_said_with_the_command(results: Path) -> None:
    table = claims.report("quick")[0].set_index("claim")
    assert set(table.verdict) == {"not run"}
    assert table.note["C3.3"] == "no table 07_verdicts: hetlib reproduce --profile quick --only 07"
    assert table.note["C5.6"].endswith(
        "papermill notebooks/07_accuracy.ipynb out.ipynb -p profile quick -p datasets eurosat"
    )
    recorded = claims.report("quick-recorded")[0].set_index("claim").note
    assert recorded["C3.3"].endswith("hetlib reproduce --profile quick --source recorded --only 07")
    assert recorded["C5.6"].endswith(
        " -p profile quick -p datasets eurosat -p source computed, then hetlib record --profile quick"
    )
    store(results, [run("single", 0)])
    (results / "quick" / "runs" / "single-0-wake.json").unlink()
    assert (
        "records of 07_verdicts are missing"
        in claims.report("quick")[0].set_index("claim").note["C3.3"]
    )


def test_recorded_runs_with_further_parameters_are_judged(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("brandenburg", "smallcnn", "24")
    keep = recorded.keeper("07", "standard", "computed", asked)
    pairs = [(strategy, seed) for strategy in ("single", "uneven-plain") for seed in range(5)]
    oas = {"single": 0.6, "uneven-plain": 0.5}
    keep(
        "runs",
        lambda: [run(name, seed, oas[name] + seed / 1000, "brandenburg") for name, seed in pairs],
    )
    monkeypatch.setattr(recorded, "RECORDED", results / "recorded")
    assert claims.report("standard-recorded")[0].set_index("claim").verdict["C3.4"] == "not run"
    recorded.RECORDED.mkdir()
    keep.kept.rename(recorded.RECORDED / keep.kept.parent.name)
    row = claims.report("standard-recorded")[0].set_index("claim").loc["C3.4"]
    assert (row.verdict, row.effect, row.n) == ("supported", pytest.approx(-10), 5)
    assert claims.report("standard")[0].set_index("claim").verdict["C3.4"] == "not run"


def test_columns_of_tables_are_read(results: Path) -> None:
    folder = results / "quick" / "tables"
    folder.mkdir(parents=True)
    rows = [
        (name, value)
        for name, value in (("balanced", 1e-15), ("uneven-plain", 0.4))
        for _ in range(5)
    ]
    pd.DataFrame(rows, columns=["strategy", "deviation"]).to_csv(
        folder / "05_gradient_batches.csv", index=False
    )
    pd.DataFrame({"other": [1]}).to_csv(folder / "01_emulation.csv", index=False)
    table = claims.report("quick")[0].set_index("claim")
    assert table.verdict[["C4.1", "C3.1", "E1"]].tolist() == ["supported", "supported", "not run"]
    assert "no values of error in table 01_emulation" in table.note["E1"]


def by_setting(settings: dict[str, float], strategy: str = "uneven-plain") -> pd.DataFrame:
    """Return what notebook 14 leaves: three seeds of each setting, around the effect given."""
    cell = {"dataset": "wake", "model": "smallcnn", "strategy": strategy}
    rows = [
        {**cell, "setting": setting, "seed": seed, "OA - single": effect + 0.1 * seed}
        for setting, effect in settings.items()
        for seed in range(3)
    ]
    return pd.DataFrame(rows)


def test_settings_are_cells_of_their_own(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = {"notebook": "14_settings", "table": "14_differences", "column": "OA - single"}
    one = claim(quantity="column", data={}, grid=[1, 1, 2], source=source)
    asked = {
        "all": one,
        "three": dataclasses.replace(one, grid=[1, 1, 3]),
        "base": dataclasses.replace(one, data={"setting": "base"}, grid=[1, 1]),
        "balanced": dataclasses.replace(
            one, strategies=["balanced", "single"], direction="within", margin=1.0
        ),
        "runs": claim(),  # about records of another table
    }
    asked = {name: dataclasses.replace(each, id=name) for name, each in asked.items()}
    monkeypatch.setattr(claims, "load", lambda: asked)
    table = pd.concat(
        [
            by_setting({"base": -5.0, "Adam": -3.0}),
            by_setting({"base": 0.0, "Adam": 3.0}, "balanced"),
        ]
    )
    (results / "quick" / "tables").mkdir(parents=True)
    table.to_csv(results / "quick" / "tables" / "14_differences.csv", index=False)
    report, cells = claims.report("quick")
    report = report.set_index("claim")
    words = {
        "all": "supported",
        "three": "underpowered",
        "base": "supported",
        "balanced": "not supported",
    }
    assert report.verdict.to_dict() == words | {"runs": "not run"}
    assert report.effect[list(words)].tolist() == pytest.approx([-2.9, -2.9, -4.9, 3.1])
    assert report.cells["base"] == 1
    assert report.note["three"] == "1 x 1 x 2 of 1 x 1 x 3 data sets x CNNs x settings"
    assert cells[cells.claim == "balanced"].set_index("setting").verdict.to_dict() == {
        "base": "supported",
        "Adam": "not supported",
    }
    shown = claims.judge_values(
        {name: claims.column_values(asked[name], table) for name in ("all", "base")}
    )
    assert shown.setting.tolist() == ["base", "Adam", "base"]
    assert shown.strategy.unique().tolist() == ["uneven-plain"]
    records = [
        run(name, seed, oa)
        for name, oa in (("single", 0.6), ("uneven-plain", 0.5))
        for seed in range(3)
    ]
    assert "setting" not in claims.judge_records(["runs"], records)
