"""``hetlib plan`` and ``hetlib train`` under torchrun: the job's processes are the replicas."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from hetlib import cli
from hetlib.replicas.job import one_clock

EXPERIMENT = {
    "global_batch": 16,
    "epochs": 2,
    "lr": 0.02,
    "dataset_options": {"per_class": 12},
}


def torchrun(processes: int) -> list[str]:
    return [
        *("-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(processes)),
    ]


def on_few_cores(count: int) -> list[str]:
    """Return the command before another that runs it on so many of this machine's cores."""
    few = sorted(os.sched_getaffinity(0))[:count]
    return ["taskset", "--cpu-list", ",".join(map(str, few))]


def run(folder: Path, *line: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        line,
        capture_output=True,
        text=True,
        timeout=200,
        env=environment,
        cwd=folder,
    )


def command(
    folder: Path,
    *arguments: str,
    processes: int = 0,
    cores: int = 0,
    **files: object,
) -> subprocess.CompletedProcess[str]:
    """Run ``hetlib`` as it is, or with so many processes of a job, or on so many cores."""
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    few = on_few_cores(cores) if cores else []
    job = torchrun(processes) if processes else []
    return run(folder, *few, sys.executable, *job, "-m", "hetlib_bundle", *arguments)


def record(folder: Path) -> dict:
    (path,) = folder.glob("*.json")
    return json.loads(path.read_text())


def test_a_job_trains_as_replicas_do(tmp_path):
    files = {
        "e": EXPERIMENT | {"shares": [11, 5]},
        "p": {"replicas": [{}, {"max_batch": 3}]},
    }
    arguments = ("train", "e.yaml", "--platform", "p.yaml", "--out")
    done = command(tmp_path, *arguments, "job", processes=2, **files)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("shares 11/5") == 1  # rank 0 alone speaks
    alone = command(tmp_path, *arguments, "alone")
    assert alone.returncode == 0, alone.stderr
    found = record(tmp_path / "job")
    known = record(tmp_path / "alone")
    for name in ("fingerprint", "epochs", "confusion", "shares", "plans", "mode"):
        assert found[name] == known[name]
    machines = found["environment"]["machines"]
    assert [machine["number"] for machine in machines] == [0, 0]
    assert machines[0]["cores"] == found["environment"]["cores"]
    assert found["environment"]["contended"] == (machines[0]["cores"] < 2)
    assert min(found["started"].values()) > 0


def test_a_job_plans_and_a_replica_without_share_waits_for_the_others(tmp_path):
    slow = {"replicas": [{"slowdown": 40}, {}]}
    on = ("--platform", "p.yaml")
    how = ("--global-batch", "16", "--seconds", "0.2", "--out", "plan.yaml")
    done = command(tmp_path, "plan", "smallcnn", *on, *how, processes=2, p=slow, e=EXPERIMENT)
    assert done.returncode == 0, done.stderr
    assert len(re.findall("leaving replica 0", done.stdout)) == 1
    assert yaml.safe_load((tmp_path / "plan.yaml").read_text())["shares"] == [0, 16]

    planned = ("--plan", "plan.yaml", "--out", "job")
    done = command(tmp_path, "train", "e.yaml", *on, *planned, processes=2, cores=1)
    assert done.returncode == 0, done.stderr
    assert "shares 0/16" in done.stdout
    assert record(tmp_path / "job")["started"] == {}  # rank 0 did not train
    assert record(tmp_path / "job")["environment"]["contended"]  # two threads on one core


WAITING = """
import time
import hetlib

def work(rank):
    time.sleep(6 * rank)
    return rank

with hetlib.JobReplicas(hetlib.Platform.emulated([1, 1]), timeout=3) as replicas:
    print(replicas.run(work))
    try:
        hetlib.train(hetlib.Experiment(), replicas, store="here")
    except ValueError as error:
        print(error)
"""


def test_whoever_is_done_waits_longer_than_a_collective_may_take(tmp_path):
    (tmp_path / "waiting.py").write_text(WAITING)
    done = run(tmp_path, sys.executable, *torchrun(2), "waiting.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("[0, 1]") == 2
    assert done.stdout.count("`store` is 'here'; let rank 0 of a job keep the record") == 2


@pytest.mark.parametrize("variables", [{"RANK": "1"}, {"WORLD_SIZE": "3"}])
def test_a_single_variable_makes_no_job(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cli.leads()
    assert len(cli.read_platform(None)) == 2


def test_a_platform_of_another_size_is_named(tmp_path):
    files = {"e": EXPERIMENT, "p": {"replicas": [{"count": 3}]}}
    done = command(tmp_path, "train", "e.yaml", "--platform", "p.yaml", processes=2, **files)
    assert done.returncode
    words = "hetlib: the platform has 3 replicas, but the job 2 processes; give one each."
    assert words in done.stderr


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_stamps_of_several_machines_are_brought_to_one_clock(rank):
    begin = np.cumsum([[1.0, 0.2, 0.1, 0.05]] * 5).reshape(5, 4)
    late = begin + np.array([0, 0, 0, 0.3])  # its update takes longer
    results = [{"stamps": begin + 1e4}, None, {"stamps": late - 77.0}]
    first, idle, last = one_clock(results, rank)
    assert idle is None
    offset = -77.0 if rank == 2 else 1e4
    np.testing.assert_allclose(first["stamps"], begin + offset)
    np.testing.assert_allclose(last["stamps"], late + offset)
    assert one_clock([1, "two", {"three": 3}], 0) == [1, "two", {"three": 3}]
