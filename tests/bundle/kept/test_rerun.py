"""Recorded runs are found, run again and compared."""

import dataclasses
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hetlib
from hetlib.training.records import RunRecord
from hetlib_bundle.cli import app
from hetlib_bundle.kept import rerun
from hetlib_bundle.kept.keeper import keeper
from tests.bundle.kept.made import SMALL
from tests.conftest import Team


def test_a_virtual_run_is_run_again(folders: Path, virtual: RunRecord) -> None:
    keeper("07", "quick", "computed")("runs", lambda: virtual)
    done = CliRunner().invoke(app, ["rerun", virtual.fingerprint[:6]])
    assert done.exit_code == 0, done.output
    assert re.search(rf"run +{virtual.fingerprint} +{virtual.fingerprint}\n", done.output)
    assert done.output.endswith("scores must be equal: as recorded\n")
    assert "step (ms)" not in done.output


def test_a_rerun_with_other_scores_says_so(folders: Path, virtual: RunRecord) -> None:
    scores = virtual.epochs[-1] | {"oa": virtual.scores["oa"] + 1e-9}
    wrong = dataclasses.replace(virtual, epochs=[scores])
    wrong.save(folders / "results" / "quick" / "runs")
    done = CliRunner().invoke(app, ["rerun", virtual.fingerprint])
    assert done.exit_code == 1
    assert done.output.endswith("DIFFERENT\n")

    other = dataclasses.replace(wrong, environment=wrong.environment | {"torch": "1.0"})
    compared = rerun.compare(other, virtual)
    now = virtual.environment["torch"]
    assert compared.rule == f"torch 1.0, now {now}: scores must be within 1e-06"
    assert compared.same


def test_which_run(folders: Path, virtual: RunRecord) -> None:
    with pytest.raises(FileNotFoundError, match="no run 'ab' in "):
        rerun.find("ab")
    first = "ab1".ljust(16, "0")
    second = "ab2".ljust(16, "0")
    for name in (first, second):
        run = dataclasses.replace(virtual, fingerprint=name)
        run.save(folders / "results" / "quick" / "runs")
    message = rf"`fingerprint` is 'ab', with which begin \['{first}', '{second}'\]; give more"
    with pytest.raises(ValueError, match=message):
        rerun.find("ab")
    assert rerun.find("ab2").fingerprint == second


def test_processes_run_again_with_measured_speeds_and_replayed_plans(team: Team) -> None:
    """Shares and speeds are those of the record, not of a plan measured anew.

    A rebalanced run follows its log.
    """
    replicas = team(1, 2)
    plan = hetlib.Partition((21, 11), (0.0123, 0.0456), 0.0, None, None, ("", ""))
    size = SMALL | {"max_steps": 6}
    fixed = hetlib.Experiment(strategy="speed-weighted", **size)
    moving = hetlib.Experiment(rebalance=True, **size)
    runs = [
        hetlib.train(fixed, replicas, plan_with=plan),
        hetlib.train(moving, replicas, plan_with=plan, seconds=1),
    ]
    for run in runs:
        found = rerun.again(run)
        assert found.shares == run.shares
        assert found.speeds == run.speeds
        assert found.plans == run.plans
        assert found.scores == run.scores
        compared = rerun.compare(run, found)
        assert compared.table.loc["step (ms)"].gt(0).all()
    assert rerun.again(runs[0]).fingerprint == runs[0].fingerprint
