"""The checks that need a GPU: what becomes of a result, an error, a death and a hang."""

import csv
import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hetlib_bundle.paths import ROOT
from tests import gpu
from tests.balanced import workers
from tests.balanced.situations import SITUATIONS, Situation
from tests.gpu import __main__ as runner
from tests.gpu import accuracy, exactness, nccl
from tests.gpu.scenes import Waves

DRY = gpu.Setting(gpus=0, cores=2)
GOOD = gpu.Result("one", "a with b", 0.5, "<= 1", "pass", 0.1)


def script(*lines: str) -> list[str]:
    """Return the command of a check that gets its file as the first argument."""
    return [sys.executable, "-c", "\n".join(["import os, subprocess, sys, time", *lines])]


def writes(result: gpu.Result) -> str:
    text = json.dumps(dataclasses.asdict(result)) + "\n"
    return f"open(sys.argv[1], 'a').write({text!r})"


@pytest.mark.parametrize(
    ("value", "at_most", "judged", "verdict"),
    [
        (1.0, 1.0, True, "pass"),
        (1.01, 1.0, True, "fail"),
        (-1.0, 1.0, True, "pass"),
        (math.nan, 1.0, True, "fail"),
        (math.inf, 1.0, True, "fail"),
        (9.0, 1.0, False, "skipped"),
        (9.0, None, True, "skipped"),
    ],
)
def test_a_number_is_judged_by_its_limit(value, at_most, judged, verdict):
    found = gpu.judge("one", "a with b", value, at_most=at_most, judged=judged)
    assert found.verdict == verdict
    assert bool(found.note) == (verdict == "skipped")


def test_an_error_is_a_failure_that_names_it():
    def broken() -> float:
        raise RuntimeError("Traceback:\n  many lines\nValueError: no such device")

    found = gpu.compare("one", "a with b", broken, at_most=1.0)
    assert found.verdict == "fail"
    assert found.note == "RuntimeError: ValueError: no such device"


def test_a_check_that_dies_keeps_what_it_found_and_fails():
    found = runner.run_apart(script(writes(GOOD), "os.abort()"), "one", DRY, 60.0)
    assert found[0] == GOOD
    assert found[1].verdict == "fail"
    assert "code -6" in found[1].note


def test_a_check_that_hangs_ends_with_all_that_it_started(tmp_path):
    file = tmp_path / "number"
    begin = time.monotonic()
    found = runner.run_apart(
        script(
            writes(GOOD),
            "sleeping = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])",
            f"open({str(file)!r}, 'w').write(str(sleeping.pid))",
            "time.sleep(600)",
        ),
        "one",
        DRY,
        5.0,
    )
    assert time.monotonic() - begin < 60
    assert [result.verdict for result in found] == ["pass", "fail"]
    assert found[1].note == "time-out after 5 s"
    assert ended(int(file.read_text()))


def ended(number: int) -> bool:
    """Say whether a process ends within seconds; one that nobody waits for may stay as a zombie."""
    for _ in range(50):
        status = Path(f"/proc/{number}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(
    ("last", "code"), [(GOOD, 0), (dataclasses.replace(GOOD, verdict="fail"), 1)]
)
def test_a_failure_is_the_exit_code_and_every_result_a_line(monkeypatch, tmp_path, last, code):
    lines: dict[str, list[str]] = {
        "exactness": [writes(GOOD)],
        "nccl": [writes(gpu.skipped("nccl", "all", "one GPU"))],
        "planning": [writes(last)],
    }
    monkeypatch.setattr(runner, "command", lambda check: script(*lines[check]))
    out = tmp_path / "checks.csv"
    assert runner.main(["--dry", "--only", *lines, "--out", str(out)]) == code
    rows = list(csv.DictReader(out.open()))
    assert [row["verdict"] for row in rows] == ["pass", "skipped", last.verdict]
    assert rows[0]["value"] == "0.5"
    assert rows[1]["value"] == ""
    assert rows[1]["note"] == "one GPU"


def test_what_there_is_no_time_for_is_skipped_and_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(runner, "command", lambda check: script("sys.exit('not to be run')"))
    out = tmp_path / "checks.csv"
    assert runner.main(["--dry", "--minutes", "0.1", "--out", str(out)]) == 0
    rows = list(csv.DictReader(out.open()))
    assert [row["check"] for row in rows] == list(gpu.CHECKS)
    assert {row["note"] for row in rows} == {"no time left of 0.1 minutes"}
    assert "dry run: CPU stands for the GPU" in capsys.readouterr().out


def test_all_checks_together_fit_into_the_time():
    assert sum(gpu.CHECKS.values()) <= 1
    for check in gpu.CHECKS:
        assert (ROOT / "tests" / "gpu" / f"{check}.py").is_file()


class Off:
    """Replicas whose gradients are a millionth off."""

    def run(self, function: Callable[..., object], s: Situation) -> list[list[torch.Tensor]]:
        return [[gradient * (1 + 1e-6) for gradient in workers.one_process(s)]]


def test_a_gradient_that_is_a_millionth_off_fails():
    name = "short last step, empty share"
    assert exactness.one("exactness", Off(), name, SITUATIONS[name]).verdict == "fail"


def test_situations_of_two_replicas_deal_whole_batches():
    for situation in exactness.chosen(SITUATIONS).values():
        two = nccl.for_two(situation, ("cpu", "cpu"))
        assert len(two.shares) == 2
        assert two.parts is None or len(two.parts) == 2


@pytest.mark.parametrize(
    ("balanced", "verdict"), [(0.895, "pass"), (0.885, "fail"), (0.95, "pass")]
)
def test_balanced_may_lose_a_point(balanced, verdict):
    accuracies = {"single": [0.9, 0.9], "balanced": [balanced, balanced]}
    assert accuracy.below_one_process("", accuracies).verdict == verdict


def test_the_images_are_of_all_classes_and_each_split_has_its_own():
    train = Waves("train", per_class=5)
    test = Waves("test", per_class=5)
    assert len(train) == 8 * 5
    assert len(test) == 8 * 10
    for split in (train, test):
        counts = np.bincount(split.images.labels)
        assert len(counts) == 8
        assert len(set(counts)) == 1
    for pixels in train.images.pixels:
        assert not any(np.array_equal(pixels, other) for other in test.images.pixels)


def test_a_dry_run_of_a_check(tmp_path):
    out = tmp_path / "checks.csv"
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu", "--dry", "--only", "nccl", "--out", str(out)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    rows = list(csv.DictReader(out.open()))
    assert len(rows) > 20
    assert {row["verdict"] for row in rows} == {"pass"}
    assert str(out) in done.stdout
