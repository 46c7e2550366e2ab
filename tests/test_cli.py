"""The commands ``hetlib train`` and ``hetlib plan``, with real processes and little work."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from hetlib.cli import app

EXPERIMENT = {"global_batch": 16, "max_steps": 2, "dataset_options": {"per_class": 24}}
PLATFORM = {"replicas": [{"device": "cpu"}, {"device": "cpu", "slowdown": 2}]}


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def hetlib(*arguments: str, **files: object) -> Result:
    """Run a command beside YAML files, e.g. ``e={"lr": 1}`` as ``e.yaml``."""
    for name, content in files.items():
        Path(f"{name}.yaml").write_text(yaml.safe_dump(content))
    return CliRunner().invoke(app, arguments)


def test_train_in_processes() -> None:
    experiment = EXPERIMENT | {"shares": [11, 5]}
    arguments = ("--platform", "p.yaml", "--out", "kept")
    done = hetlib("train", "e.yaml", *arguments, e=experiment, p=PLATFORM)
    assert done.exit_code == 0, done.output
    scores = r"OA 0\.\d{4}  AA 0\.\d{4}  kappa -?0\.\d{4}"
    assert re.search(rf"{scores}  shares 11/5\nmedian step \d+\.\d ms", done.output)
    (path,) = Path("kept").glob("*.json")
    assert f"record {path}" in done.output
    record = json.loads(path.read_text())
    assert record["mode"] == "processes"
    assert [replica["slowdown"] for replica in record["platform"]] == [1, 2]
    assert len(record["steps"]["compute"]) == 2


def test_train_virtual_on_two_equal_replicas() -> None:
    done = hetlib("train", "e.yaml", "--virtual", e=EXPERIMENT)
    assert done.exit_code == 0, done.output
    assert "shares 8/8\nno step times: virtual replicas" in done.output
    (path,) = Path("results/records").glob("*.json")
    assert json.loads(path.read_text())["mode"] == "virtual"


def test_plan() -> None:
    """A plan is printed and written; a training takes its shares or says that it does not fit."""
    platform = {"replicas": [{}, {"slowdown": 40}]}
    arguments = ("--global-batch", "16", "--seconds", "0.1", "--out", "plan.yaml")
    done = hetlib("plan", "smallcnn", "--platform", "p.yaml", *arguments, p=platform)
    assert done.exit_code == 0, done.output
    header, *rows, step = done.output.splitlines()
    columns = ["replica", "share", "compute (ms), measured", "idle (%)", "reason"]
    assert re.split(" {2,}", header.strip()) == columns
    shares = []
    for row in rows:
        after_name = re.split(r"\) +", row)[1]
        shares.append(int(after_name.split()[0]))
    assert shares == [16, 0]
    assert re.search(
        r"leaving replica 1 \(cpu/40\) out: with it a step takes [\d.]+ ms, without it [\d.]+ ms",
        rows[1],
    )
    times = r"\d+\.\d\d times as fast as equal shares \(both modelled\)"
    assert re.match(rf"step \d+\.\d ms \+- \d+ %, measured; {times}", step)
    done = hetlib("train", "e.yaml", "--platform", "p.yaml", "--plan", "plan.yaml", e=EXPERIMENT)
    assert "shares 16/0" in done.output
    done = hetlib(
        "train", "e.yaml", "--plan", "plan.yaml", "--virtual", e=EXPERIMENT | {"global_batch": 24}
    )
    assert done.exit_code == 2
    assert "`shares` is (16, 0); allowed: whole numbers >= 0, sum 24." in done.output


def test_plan_says_where_a_cap_forbids_the_comparison() -> None:
    platform = {"replicas": [{"max_batch": 6}, {"max_batch": 2}]}
    arguments = ("--platform", "p.yaml", "--global-batch", "8", "--seconds", "0.1")
    done = hetlib("plan", "smallcnn", *arguments, p=platform)
    assert "; equal shares: beyond a cap; the best alone: beyond a cap" in done.output


OWN = """
from torch import nn


class Points:
    def __init__(self, samples=40):
        self.samples = samples

    def __len__(self):
        return self.samples

    def __getitem__(self, i):
        return [[[i % 2, 1], [0, i % 3]]], i % 2


class Net(nn.Sequential):
    def __init__(self, classes):
        super().__init__(nn.Flatten(), nn.Linear(4, classes))
"""


def test_plan_and_train_an_experiment_of_the_readers_own() -> None:
    """The current folder is looked into, as ``python -m`` does, though it is not on the path."""
    Path("points.py").write_text(OWN)
    mine = {"dataset": "points:Points", "model": "points:Net", "global_batch": 8, "max_steps": 2}
    done = hetlib("plan", "mine.yaml", "--seconds", "0.1", "--out", "plan.yaml", mine=mine)
    assert done.exit_code == 0, done.output
    planned = yaml.safe_load(Path("plan.yaml").read_text())
    assert sum(planned["shares"]) == 8
    done = hetlib("plan", "mine.yaml", "--seconds", "0.1", "--global-batch", "12")
    assert done.exit_code == 0, done.output

    done = hetlib("train", "mine.yaml", "--plan", "plan.yaml", "--out", "kept")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("Points Net balanced seed 0: epoch 1/")
    (path,) = Path("kept").glob("*.json")
    assert set(json.loads(path.read_text())["code"]) == {"points:Points", "points:Net"}


def test_version_and_short_help() -> None:
    assert re.fullmatch(r"hetlib (\d+\.\d+\.\d+|\(not installed\))\n", hetlib("--version").output)
    assert "Usage" in hetlib("-h").output


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train none.yaml", "experiment file 'none.yaml': it cannot be read"),
        (
            "train unknown.yaml",
            "experiment file 'unknown.yaml': needs only fields out of ['dataset', ",
        ),
        ("train empty.yaml", "needs only fields out of ['dataset', "),
        ("train value.yaml", "experiment file 'value.yaml': `lr` is -1"),
        ("train broken.yaml", "experiment file 'broken.yaml', line 2: no file of valid YAML"),
        ("train data.yaml", "got an unexpected keyword argument 'per_clas'"),
        ("train model.yaml", "got an unexpected keyword argument 'depth'"),
        ("train optimizer.yaml", "got an unexpected keyword argument 'momentums'"),
        ("train e.yaml --platform none.yaml", "platform file 'none.yaml': it cannot be read"),
        ("train e.yaml --platform devices.yaml", "`replica 0` has the unknown key 'devise'"),
        ("train e.yaml --platform three.yaml", "the platform has 3 replicas"),
        ("train e.yaml --out e.yaml", "File exists: 'e.yaml'"),
        (
            "train e.yaml --plan value.yaml",
            "plan file 'value.yaml': it has no `shares`; `hetlib plan --out`",
        ),
        (
            "train e.yaml --plan three_shares.yaml",
            "`shares` is (8, 4, 4), but the platform has 2 replicas",
        ),
        ("plan lenet", "`model` is 'lenet'; allowed are "),
        ("plan alexnet", "`model` is 'alexnet'; allowed are networks that take the data's images"),
        ("plan mine:Net", "`model` is 'mine:Net', and there is no module 'mine'"),
        ("plan smallcnn --seconds -1", "`seconds` is -1.0; it must be a finite number > 0"),
        ("plan smallcnn --seconds 0", "`seconds` is 0.0"),
        ("plan value.yaml", "experiment file 'value.yaml': `lr` is -1"),
        ("plan none.yaml", "experiment file 'none.yaml': it cannot be read"),
        ("plan e.yaml --global-batch 0", "`global_batch` is 0"),
        ("plan smallcnn --global-batch 0", "`global_batch` is 0"),
        (
            "plan smallcnn --platform none.yaml",
            "platform file 'none.yaml': it cannot be read",
        ),
    ],
)
def test_a_wrong_argument_is_one_line(command: str, message: str) -> None:
    Path("broken.yaml").write_text("[1\n2")
    done = hetlib(
        *command.split(),
        e=EXPERIMENT | {"shares": [8, 8]},
        unknown={"epoch": 3},
        empty=None,
        value={"lr": -1},
        data={"dataset_options": {"per_clas": 24}},
        model={"model_options": {"depth": 3}},
        optimizer={"optimizer_options": {"momentums": 0.9}},
        devices={"replicas": [{"devise": "cpu"}]},
        three={"replicas": [{"count": 3}]},
        three_shares={"shares": [8, 4, 4]},
    )
    assert done.exit_code == 2
    assert done.output.startswith("hetlib: ")
    assert message in done.output
    assert done.output.count("\n") == 1


# As ``python -m hetlib`` runs, with one package that cannot be imported.
WITHOUT = """
import runpy, sys
sys.modules[sys.argv.pop(1)] = None
runpy.run_module("hetlib", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("typer", "--help"),
        ("yaml", "plan smallcnn"),
        ("pandas", "plan smallcnn"),
        ("yaml", "train e.yaml"),
    ],
)
def test_a_missing_package_is_one_line_that_names_the_extra(package: str, command: str) -> None:
    Path("e.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    call = [sys.executable, "-c", WITHOUT, package, *command.split()]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"hetlib: this needs the package {package}, which is not installed; "
        "install it, in the clone, with: pip install '.[cli]'\n"
    )
