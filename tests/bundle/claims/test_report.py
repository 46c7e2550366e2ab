"""The whole register, judged from what notebooks left: grids, settings, and what is missing."""

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from hetlib.training.records import RunRecord
from hetlib_bundle import claims, paths
from hetlib_bundle.claims import register
from hetlib_bundle.claims.register import Claim
from hetlib_bundle.kept.keeper import keeper
from tests.bundle.claims.made import claim, name_of, run


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    return tmp_path


def registered(monkeypatch: pytest.MonkeyPatch, **known: claims.Claim) -> dict[str, claims.Claim]:
    """Put these claims, named by their keys, in place of the register."""
    named = {name: dataclasses.replace(one, id=name) for name, one in known.items()}
    monkeypatch.setattr(register, "load", lambda: named)
    return named


def table_of(folder: str) -> pd.DataFrame:
    return claims.report(folder).table.set_index("claim")


def store(results: Path, records: list[RunRecord]) -> None:
    """Leave what notebook 07 leaves."""
    folder = results / "quick"
    for record in records:
        record.save(folder / "runs")
    tables = folder / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    (tables / "07_verdicts.csv").write_text("claim\n")
    about = {"caption": "", "records": [record.fingerprint for record in records]}
    (tables / "07_verdicts.json").write_text(json.dumps(about))


def test_a_claim_over_a_grid_is_as_good_as_its_weakest_cell(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = []
    for seed in range(3):
        records += [
            run("single", seed, 0.6 + seed / 1000, "wake"),
            run("uneven-plain", seed, 0.5, "wake"),
            run("single", seed, 0.4 + seed / 1000, "brandenburg"),
            run("uneven-plain", seed, 0.395, "brandenburg"),
        ]
    store(results, records)
    registered(
        monkeypatch,
        A=claim(data={}, grid=[2, 1]),
        B=claim(grid=[2, 1]),
        C=claim(grid=[1, 1]),
    )
    table, cells = claims.report("quick")
    table = table.set_index("claim")
    assert table.verdict.to_dict() == {"A": "not supported", "B": "underpowered", "C": "supported"}
    assert table.effect["A"] == pytest.approx(-0.6)
    assert table.note["B"] == "1 x 1 of 2 x 1 data sets x CNNs"
    assert len(cells) == 4


def test_what_is_missing_is_said_with_the_command(results: Path) -> None:
    table = table_of("quick")
    assert set(table.verdict) == {"not run"}
    assert table.note["C3.3"] == "no table 07_verdicts: hetlib reproduce --profile quick --only 07"
    assert table.note["C5.6"].endswith(
        "papermill notebooks/07_accuracy.ipynb out.ipynb -p profile quick -p datasets eurosat"
    )

    recorded = table_of("quick-recorded").note
    assert recorded["C3.3"].endswith("hetlib reproduce --profile quick --source recorded --only 07")
    assert recorded["C5.6"].endswith(
        " -p profile quick -p datasets eurosat -p source computed, "
        "then hetlib record --profile quick"
    )

    store(results, [run("single", 0)])
    (results / "quick" / "runs" / f"{name_of('single', 0)}.json").unlink()
    assert "records of 07_verdicts are missing" in table_of("quick").note["C3.3"]


def test_recorded_runs_with_further_parameters_are_judged(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for seed in range(5):
        runs.append(run("single", seed, 0.6 + seed / 1000, "brandenburg"))
        runs.append(run("uneven-plain", seed, 0.5 + seed / 1000, "brandenburg"))
    keep = keeper("07", "standard", "computed", ("brandenburg", "smallcnn", "24"))
    keep("runs", lambda: runs)

    recorded = results / "recorded"
    monkeypatch.setattr(paths, "RECORDED", recorded)
    assert table_of("standard-recorded").verdict["C3.4"] == "not run"
    recorded.mkdir()
    keep.kept.rename(recorded / keep.kept.parent.name)
    row = table_of("standard-recorded").loc["C3.4"]
    assert row.verdict == "supported"
    assert row.effect == pytest.approx(-10)
    assert row.n == 5
    assert table_of("standard").verdict["C3.4"] == "not run"


def test_columns_of_tables_are_read(results: Path) -> None:
    folder = results / "quick" / "tables"
    folder.mkdir(parents=True)
    deviations = pd.DataFrame(
        {
            "strategy": ["balanced"] * 5 + ["uneven-plain"] * 5,
            "deviation": [1e-15] * 5 + [0.4] * 5,
        }
    )
    deviations.to_csv(folder / "05_gradient_batches.csv", index=False)
    pd.DataFrame({"other": [1]}).to_csv(folder / "01_emulation.csv", index=False)
    table = table_of("quick")
    assert table.verdict[["C4.1", "C3.1", "E1"]].tolist() == ["holds", "holds", "not run"]
    assert "no values of error in table 01_emulation" in table.note["E1"]


def by_setting(settings: dict[str, float], strategy: str = "uneven-plain") -> pd.DataFrame:
    """Return what notebook 14 leaves: three seeds of each setting, around the effect given."""
    rows = []
    for setting, effect in settings.items():
        for seed in range(3):
            row = {"dataset": "wake", "model": "smallcnn", "strategy": strategy}
            row |= {"setting": setting, "seed": seed, "OA - single": effect + 0.1 * seed}
            rows.append(row)
    return pd.DataFrame(rows)


def test_settings_are_cells_of_their_own(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = {"notebook": "14_settings", "table": "14_differences", "column": "OA - single"}
    one = claim(quantity="column", data={}, grid=[1, 1, 2], source=source)
    within = {"strategies": ["balanced", "single"], "direction": "within", "margin": 1.0}
    asked = registered(
        monkeypatch,
        all=one,
        three=dataclasses.replace(one, grid=[1, 1, 3]),
        base=dataclasses.replace(one, data={"setting": "base"}, grid=[1, 1]),
        balanced=dataclasses.replace(one, **within),
        runs=claim(),  # about records of another table
    )
    plain = by_setting({"base": -5.0, "Adam": -3.0})
    balanced = by_setting({"base": 0.0, "Adam": 3.0}, "balanced")
    table = pd.concat([plain, balanced])
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
    of_balanced = cells[cells.claim == "balanced"].set_index("setting")
    assert of_balanced.verdict.to_dict() == {"base": "supported", "Adam": "not supported"}

    values = {name: claims.column_values(asked[name], table) for name in ("all", "base")}
    shown = claims.judge_values(values)
    assert shown.setting.tolist() == ["base", "Adam", "base"]
    assert shown.strategy.unique().tolist() == ["uneven-plain"]

    records = []
    for seed in range(3):
        records += [run("single", seed, 0.6), run("uneven-plain", seed, 0.5)]
    assert "setting" not in claims.judge_records(["runs"], records)


def claims_on_three_effects(results: Path) -> tuple[Claim, Claim]:
    """Write a table of three effects; return a descriptive and a primary claim about it."""
    values = {"dataset": "wake", "model": "smallcnn", "strategy": "uneven-plain", "setting": "base"}
    effects = pd.DataFrame({**values, "seed": range(3), "OA - single": [-2.2, -3.2, -2.8]})
    (results / "quick" / "tables").mkdir(parents=True)
    effects.to_csv(results / "quick" / "tables" / "14_differences.csv", index=False)

    source = {"notebook": "14_settings", "table": "14_differences", "column": "OA - single"}
    alone = claim(quantity="column", data={}, source=source)
    return alone, dataclasses.replace(alone, role="primary", why="A reason.")


def test_the_primary_claims_share_one_level_of_error(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself each is supported at p = 0.013; three of them together are not."""
    alone, primary = claims_on_three_effects(results)
    registered(monkeypatch, P1=primary, P2=primary, P3=primary, C1=alone)
    table = table_of("quick")
    assert table.p["P1"] == pytest.approx(3 * table.p["C1"])
    assert table.verdict.to_dict() == {
        "P1": "underpowered",
        "P2": "underpowered",
        "P3": "underpowered",
        "C1": "supported",
    }


def test_a_primary_claim_that_is_not_run_still_counts(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, primary = claims_on_three_effects(results)
    missing = dataclasses.replace(primary, source={**primary.source, "table": "14_own_rate"})
    registered(monkeypatch, P1=primary, P2=missing, C1=alone)
    table = table_of("quick")
    assert table.verdict["P2"] == "not run"
    assert table.p["P1"] == pytest.approx(2 * table.p["C1"])
