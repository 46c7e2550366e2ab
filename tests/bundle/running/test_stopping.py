"""Runs that are interrupted, damaged or doubled keep what is finished."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hetlib_bundle.running.forecast import Forecast, known_seconds
from hetlib_bundle.running.ledger import Ledger
from hetlib_bundle.running.lock import LOCK, locked
from tests.bundle.running.made import appends, reproduce, summary, write_notebook
from tests.bundle.running.test_execution import REPRODUCE
from tests.bundle.running.test_runner import WAIT

# Seconds for a kernel to start on a busy machine.
START = 90


# Shells start what runs behind them with SIGINT ignored, and so would be these tests' children.
LISTENING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


@contextlib.contextmanager
def start(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a reproduction as from a terminal; it does not outlive its test."""
    code = f"{LISTENING}\n{REPRODUCE}"
    command = [sys.executable, "-c", code, str(folder), str(folder / "r")]
    process = subprocess.Popen(
        command, start_new_session=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(flag: Path) -> None:
    end = time.time() + START
    while not flag.exists():
        assert time.time() < end
        time.sleep(0.1)


@pytest.mark.parametrize("lane", [0, 1])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_kernels_at_once_keeps_the_page_and_a_later_run_goes_on(
    lane: int, number: signal.Signals, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    flag = tmp_path / "flag"
    write_notebook(tmp_path, "01_first", appends(log, "a"), lane=lane)
    write_notebook(tmp_path, "02_second", WAIT.format(flag=str(flag)), appends(log, "b"), lane=lane)
    write_notebook(tmp_path, "03_third", appends(log, "c"))
    with start(tmp_path) as process:
        wait_for(flag)
        wait_for(tmp_path / "r" / "quick" / "bundle.json")
        family = psutil.Process(process.pid).children(recursive=True)
        begin = time.monotonic()
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=60)
        assert time.monotonic() - begin < 15
    assert process.returncode == 128 + number
    assert f"stopped by {number.name}: 1 of 3 done" in errors
    assert not any(child.is_running() for child in family)
    page = (tmp_path / "r" / "quick" / "index.html").read_text()
    assert "About 01_first" in page
    assert "About 02_second" not in page
    assert not (tmp_path / "r/quick/notebooks/02_second.ipynb").exists()

    write_notebook(tmp_path, "02_second", appends(log, "b"), lane=lane)
    assert reproduce(tmp_path) == 0
    assert sorted(log.read_text()) == ["a", "b", "c"]
    assert len(summary(tmp_path)["notebooks"]) == 3


def test_two_runs_in_one_folder_do_not_forget_each_others_work(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    write_notebook(tmp_path, "01_first", WAIT.format(flag=str(flag)))
    write_notebook(tmp_path, "02_second", "x = 1")
    with start(tmp_path) as process:
        wait_for(flag)
        with pytest.raises(BlockingIOError, match=rf"process {process.pid}; wait for its end or"):
            reproduce(tmp_path, "02")
        flag.unlink()
        assert process.wait(timeout=90) == 0
    assert reproduce(tmp_path, "02") == 0
    assert [entry["name"] for entry in summary(tmp_path)["notebooks"]] == ["01_first", "02_second"]


def test_the_lock_of_a_run_that_was_killed_is_taken_over(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from hetlib_bundle.running.lock import locked
with locked(Path(sys.argv[1])):
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert done.returncode == -9
    with locked(tmp_path):
        assert int((tmp_path / LOCK).read_text()) == os.getpid()
        with pytest.raises(BlockingIOError, match=str(os.getpid())), locked(tmp_path):
            pass


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"notebooks": [{"name": "01"}]}', "3"])
def test_a_damaged_book_of_notebooks_is_begun_anew(content: str, tmp_path: Path) -> None:
    path = tmp_path / "bundle.json"
    path.write_text(content)
    assert Ledger(path, ["01"], timed=False).entries == {}
    assert known_seconds(path) in ({}, {"01": 0.0})


def test_the_rest_is_told_by_what_notebooks_took_before() -> None:
    forecast = Forecast(["01_a", "02_b", "03_c"], {"01_a": 30, "02_b": 300, "03_c": 31})
    assert forecast.line() == "0 of 3 done, about 6 min left"
    forecast.finish("02_b")
    assert forecast.line() == "1 of 3 done, about 1 min left"
    forecast.finish("01_a")
    assert forecast.line() == "2 of 3 done, about 31 s left"
    forecast.finish("03_c")
    assert forecast.line() == "3 of 3 done"
    unknown = Forecast(["01_a", "02_b"], {})
    assert unknown.line() == "0 of 2 done"
    unknown.finish("02_b")
    assert unknown.line().startswith("1 of 2 done, about ")
