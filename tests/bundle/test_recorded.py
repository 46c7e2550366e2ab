"""Kept values: read back as they were, drawn without computing, published, and runs among them run again."""

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import hetlib
from hetlib.cli import app
from hetlib.training.records import RunRecord
from hetlib_bundle.kept import keeper as recorded
from hetlib_bundle.kept import products, rerun
from hetlib_bundle.kept.codec import decode, encode
from hetlib_bundle.kept.keeper import keeper
from hetlib_bundle.kept.source import resolve

SMALL: dict[str, Any] = {"global_batch": 32, "max_steps": 2, "dataset_options": {"per_class": 24}}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(recorded.paths, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(recorded, "RECORDED", tmp_path / "recorded")
    return tmp_path


@pytest.fixture(scope="module")
def virtual() -> RunRecord:
    return hetlib.train(
        hetlib.Experiment(shares=(24, 8), **SMALL),
        hetlib.VirtualReplicas(hetlib.Platform.emulated([1, 3])),
    )


def copied(value: Any) -> Any:
    runs: list[RunRecord] = []
    return decode(json.loads(json.dumps(encode(value, runs), allow_nan=False)), runs)


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 0.1, 1e-300, -0.0, True, None, "µ"], "b": ((1,), {"c": ()})},
        hetlib.SpeedModel((1, 2), (0.1 + 0.2, 1 / 3 + 0.1), 0.01),
        hetlib.partition(
            [hetlib.SpeedModel.constant(1), hetlib.SpeedModel.constant(3)], 8, names=("a", "b")
        ),
        (math.inf, -math.inf),
    ],
)
def test_values_come_back_equal(value: Any) -> None:
    back = copied(value)
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64", "bool"])
def test_arrays_come_back_to_the_bit(dtype: str) -> None:
    array = (np.random.default_rng(0).standard_normal((3, 4, 2)) * 100).astype(dtype)[:, ::2]
    back = copied(array)
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()
    back[:] = 0  # one's own to change, as what was computed is


@pytest.mark.parametrize("index", [None, ["x", "y", "x"], pd.Index([3, 1, 2], name="seed")])
def test_frames_come_back_equal(index: Any) -> None:
    columns = {
        "name": ["a", "b", "c"],
        "n": [1, 2, 3],
        "t": [0.1 + 0.2, math.nan, math.inf],
        "on": [True, False, True],
    }
    table = pd.DataFrame(columns, index=index)
    pd.testing.assert_frame_equal(copied(table), table, check_exact=True)


@pytest.mark.parametrize("value", [{1: 2}, {"kind": 1}, {1, 2}, Path()])
def test_what_cannot_be_kept_is_named(value: object) -> None:
    with pytest.raises(
        TypeError, match=rf"cannot keep {type(value).__name__} .* allowed are numbers"
    ):
        encode([value], [])


def test_what_is_read_is_what_the_computing_notebook_had(folders: Path, virtual: RunRecord) -> None:
    noisy = dataclasses.replace(virtual, steps={"compute": [[1 / 3]]}, times="measured")
    first = keeper("07", "quick", "computed", lrs=[0.1])
    had = first("runs", lambda: {"runs": [virtual, noisy], "third": 1 / 3})
    lines = (folders / "results/quick/kept/07_runs.jsonl").read_text().splitlines()
    assert [json.loads(line)["fingerprint"] for line in lines[2:]] == [virtual.fingerprint] * 2
    assert json.loads(lines[2]) == json.loads(json.dumps(dataclasses.asdict(virtual)))
    (folders / "results/quick/kept").rename(folders / "recorded-quick")
    (folders / "recorded").mkdir()
    (folders / "recorded-quick").rename(folders / "recorded/quick")

    second = keeper("07", "quick", "recorded", lrs=[0.1])
    assert second("runs", lambda: pytest.fail("computed")) == had
    assert had["runs"][1].steps == {"compute": [[0.3333333]]}  # as `RunRecord.save` rounds
    assert (folders / "results/quick-recorded/runs" / f"{virtual.fingerprint}.json").exists()
    with pytest.raises(
        ValueError,
        match=r"`lrs` is \[0.2\], and 07_runs.jsonl was recorded with \[0.1\]; .*computed",
    ):
        keeper("07", "quick", "recorded", lrs=[0.2])("runs", list)
    with pytest.raises(
        FileNotFoundError, match=r'no record .*07_trials.jsonl; .*source="computed"'
    ):
        second("trials", lambda: pytest.fail("computed"))


def test_captions_and_the_environment_say_what_is_recorded(folders: Path) -> None:
    made = keeper("03", "quick", "computed")
    made("table", lambda: 1)
    head = json.loads((folders / "results/quick/kept/03_table.jsonl").read_text().splitlines()[0])
    (folders / "recorded").mkdir()
    (folders / "results/quick/kept").rename(folders / "recorded/quick")
    drawn, machine = keeper("03", "quick", "recorded"), head["environment"]
    note = f"Recorded {head['date'][:10]}, {machine['processor']}, torch {machine['torch']}."
    for keep, caption in ((made, "Some."), (drawn, f"Some. {note}")):
        products.save_table(pd.DataFrame({"a": [1]}), "03_some", caption="Some.", keep=keep)
        told = folders / "results" / keep.folder / "tables" / "03_some.json"
        assert json.loads(told.read_text())["caption"] == caption
    assert [made.folder, drawn.folder] == ["quick", "quick-recorded"]
    assert list(made.environment()) == ["what", "found"]
    assert dict(drawn.environment()[["what", "recorded"]].to_numpy()) == machine
    assert keeper("*", "quick", "recorded").note == f" {note}"
    assert keeper("02", "quick", "recorded").note == ""


def test_source_and_profile_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HETLIB_SOURCE", raising=False)
    assert resolve("", "") == ("quick", "computed")
    assert resolve("full", "recorded") == ("full", "recorded")
    monkeypatch.setenv("HETLIB_SOURCE", "recorded")
    assert resolve("", "") == ("standard", "recorded")
    assert resolve("", "computed") == ("quick", "computed")
    with pytest.raises(
        ValueError,
        match=r"`source` \(or HETLIB_SOURCE\) is 'both'; allowed are \['computed', 'recorded'",
    ):
        keeper("07", "quick", "both")
    with pytest.raises(ValueError, match="`profile` is 'tiny'; allowed are"):
        keeper("07", "tiny")


def test_publishing_wants_everything_and_not_too_much(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebooks = folders / "notebooks"
    notebooks.mkdir()
    for name, source in {
        "01_a": 'keep("one", f)\nx = keep("two", f)',
        "02_b": "keep = keeper(1)",
        "07_c": 'keep("x", f)',
    }.items():
        nbformat.write(
            nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]),
            notebooks / f"{name}.ipynb",
        )
    monkeypatch.setattr(recorded.paths, "NOTEBOOKS", notebooks)
    for number, name in (("01", "one"), ("01", "two")):
        keeper(number, "quick", "computed")(name, lambda: "text")
    done = CliRunner().invoke(app, ["record", "--profile", "quick"])
    assert done.exit_code == 2
    assert re.search(
        r"lacks \['07_x.jsonl'\]; run: hetlib reproduce --profile quick --only 07\n", done.output
    )
    for asked in ((), ("eurosat",), ("wake",)):  # a claim is about the second, none about the third
        keeper("07", "quick", "computed", asked)("x", lambda: 1)
    target = folders / "recorded" / "quick"
    target.mkdir(parents=True)
    (target / "04_gone.jsonl").touch()
    (target / "09_time.csv").touch()
    assert CliRunner().invoke(app, ["record", "--profile", "quick"]).exit_code == 0
    names = ["01_one.jsonl", "01_two.jsonl", "07_x.jsonl", "09_time.csv"]
    assert sorted(path.name for path in target.iterdir()) == names
    assert [path.name for path in target.parent.glob("quick-*/*")] == ["07_x.jsonl"]
    assert keeper("07", "quick", "recorded", ["eurosat"])("x", lambda: pytest.fail("computed")) == 1
    monkeypatch.setattr(recorded, "LIMIT", 500)
    with pytest.raises(
        ValueError,
        match=r"the records take \d+ bytes, {'quick/01_one.jsonl': \d+, .*allowed are 500",
    ):
        recorded.publish("quick")


def test_a_virtual_run_is_run_again(folders: Path, virtual: RunRecord) -> None:
    keeper("07", "quick", "computed")("runs", lambda: virtual)
    done = CliRunner().invoke(app, ["rerun", virtual.fingerprint[:6]])
    assert done.exit_code == 0, done.output
    assert re.search(rf"run +{virtual.fingerprint} +{virtual.fingerprint}\n", done.output)
    assert done.output.endswith("scores must be equal: as recorded\n")
    assert "step (ms)" not in done.output


def test_a_rerun_with_other_scores_says_so(folders: Path, virtual: RunRecord) -> None:
    wrong = dataclasses.replace(
        virtual, epochs=[virtual.epochs[-1] | {"oa": virtual.scores["oa"] + 1e-9}]
    )
    wrong.save(folders / "results/quick/runs")
    done = CliRunner().invoke(app, ["rerun", virtual.fingerprint])
    assert done.exit_code == 1
    assert done.output.endswith("DIFFERENT\n")
    other = dataclasses.replace(wrong, environment=wrong.environment | {"torch": "1.0"})
    assert rerun.compare(other, virtual)[1:] == (
        f"torch 1.0, now {virtual.environment['torch']}: scores must be within 1e-06",
        True,
    )


def test_which_run(folders: Path, virtual: RunRecord) -> None:
    with pytest.raises(FileNotFoundError, match="no run 'ab' in "):
        rerun.find("ab")
    for name in ("ab1", "ab2"):
        dataclasses.replace(virtual, fingerprint=name).save(folders / "results/quick/runs")
    with pytest.raises(
        ValueError, match=r"`fingerprint` is 'ab', with which begin \['ab1', 'ab2'\]; give more"
    ):
        rerun.find("ab")
    assert rerun.find("ab2").fingerprint == "ab2"


def test_processes_run_again_with_measured_speeds_and_replayed_plans() -> None:
    """Shares and speeds are those of the record, not of a plan measured anew; a rebalanced run follows its log."""
    platform = hetlib.Platform.emulated([1, 2])
    plan = hetlib.Partition((21, 11), (0.0123, 0.0456), 0.0, None, None, ("", ""))
    size = SMALL | {"max_steps": 6}
    with hetlib.Replicas(platform) as replicas:
        runs = [
            hetlib.train(
                hetlib.Experiment(strategy="speed-weighted", **size), replicas, plan_with=plan
            )
        ]
        runs += [
            hetlib.train(
                hetlib.Experiment(rebalance=True, **size), replicas, plan_with=plan, seconds=1
            )
        ]
    for run in runs:
        found = rerun.again(run)
        assert (found.shares, found.speeds, found.plans) == (run.shares, run.speeds, run.plans)
        assert found.scores == run.scores
        assert rerun.compare(run, found)[0].loc["step (ms)"].gt(0).all()
    assert rerun.again(runs[0]).fingerprint == runs[0].fingerprint
