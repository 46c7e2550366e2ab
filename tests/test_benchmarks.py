"""The benchmarks: what a sweep compares, and what becomes of its rows."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from tests import bench
from tests.bench import __main__ as bench_main
from tests.bench import speedup

SPLITS = speedup.splits_of((100, 28), slowdown=4)


def test_the_best_of_a_sweep_is_compared_in_runs_that_did_not_choose_it() -> None:
    """Splits of equal speed under noise.

    Their minimum is too small, a ratio of fresh runs is not.
    """
    swept = [str(slow) for slow in range(0, 42, 4) if slow != 28]
    assert list(SPLITS) == ["plan", "equal", *swept]
    rng = np.random.default_rng(0)

    def noisy(shares: tuple[int, ...]) -> float:
        return rng.normal(1.0, 0.05)

    chosen = []
    compared = []
    for _ in range(200):
        times = speedup.in_turns(noisy, SPLITS, 2)
        fresh = speedup.fresh_ratios(noisy, SPLITS, times)
        assert fresh.best not in ("plan", "equal")
        assert len(fresh.over_best) == speedup.AGAIN
        chosen.append(np.median(times["plan"] / times[fresh.best]))
        compared.append([np.median(fresh.over_best), np.median(fresh.over_alone)])
    assert np.mean(chosen) > 1.03
    assert np.abs(np.mean(compared, axis=0) - 1).max() < 0.01


def test_a_plan_that_leaves_the_slow_one_out_is_the_fast_one_alone() -> None:
    splits = speedup.splits_of((128, 0), slowdown=4)
    times = speedup.in_turns(lambda shares: 1.0 + shares[1], splits, 2)
    fresh = speedup.fresh_ratios(lambda shares: 1.0 + shares[1], splits, times)
    assert fresh.over_alone.tolist() == [1.0] * speedup.AGAIN


def test_a_sweep_is_refined_around_its_best_split() -> None:
    def train(shares: tuple[int, ...]) -> float:
        return 1 + abs(shares[1] - 13.9) / 100

    times = speedup.in_turns(train, SPLITS, 2)
    assert speedup.best_of(SPLITS, times) == "12"
    finer, more = speedup.refined(train, SPLITS, times, 2)
    assert finer.keys() - SPLITS.keys() == {"10", "14"}
    assert speedup.best_of(finer, more) == "14"


def test_benchmark_rows_become_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        bench.Row("step", 0.123456789, 0.1, 0.2, 5, "<= 0.75", True),
        bench.Row("other", 3, 3, 3, 1),
    ]
    module = types.SimpleNamespace(run=lambda: rows)
    monkeypatch.setitem(sys.modules, "tests.bench.some", module)
    monkeypatch.setattr(bench_main, "groups", lambda: ["some"])
    assert bench_main.main([], tmp_path) == 0
    written = (tmp_path / "bench" / "some.csv").read_text()
    assert written.splitlines() == [
        "name,value,low,high,runs,goal,holds",
        "step,0.123457,0.1,0.2,5,<= 0.75,true",
        "other,3,3,3,1,,",
    ]
    assert "step   0.123457" in capsys.readouterr().out


def test_unknown_benchmark_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_main.main(["nothing"], tmp_path) == 2
    assert "no group nothing; there are: " in capsys.readouterr().err
