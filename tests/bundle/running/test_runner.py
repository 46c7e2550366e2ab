"""Which notebooks run, in which order, and which need not run again."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hetlib_bundle.running import runner
from hetlib_bundle.running.ledger import Entry
from tests.bundle.running.made import appends, reproduce, summary, write_notebook
from tests.bundle.running.test_execution import REPRODUCE

# Seconds between two looks.
LOOK = 0.1

# A cell that tells the other one that it is here, and waits for it.
MEET = """
import pathlib, time
here = pathlib.Path({here!r})
there = pathlib.Path({there!r})
here.touch()
end = time.time() + 60
while not there.exists():
    assert time.time() < end
    time.sleep(0.05)
"""
# A cell that makes a file, and ends when somebody removes it.
WAIT = """
import pathlib, time
flag = pathlib.Path({flag!r})
flag.touch()
while flag.exists():
    time.sleep(0.1)
"""


def names(folder: Path) -> list[str]:
    return [entry["name"] for entry in summary(folder)["notebooks"]]


def test_the_source_reaches_the_notebook_and_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    says = f"import pathlib; pathlib.Path('{log}').write_text(f'{{profile}} {{source}}')"
    write_notebook(tmp_path, "01_says", says)
    assert runner.reproduce("", (), tmp_path / "r", tmp_path, source="recorded") == 0
    assert log.read_text() == "standard recorded"
    assert summary(tmp_path, "standard-recorded")["profile"] == "standard-recorded"

    # which the notebook would take, were it not told
    monkeypatch.setenv("HETLIB_SOURCE", "recorded")
    assert reproduce(tmp_path, source="computed") == 0
    assert log.read_text() == "quick computed"
    assert (tmp_path / "r" / "quick" / "index.html").exists()


def test_the_runner_leaves_the_memory_to_the_kernels() -> None:
    """It lives as long as they do, and imports what they need for itself at its end alone."""
    code = "import sys, hetlib_bundle.running.runner; print({'torch', 'pandas'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_process_is_where_it_was_whatever_papermill_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads that change the directory may leave it changed."""
    write_notebook(tmp_path, "01_one", "x = 1")
    run_notebook = runner.run_notebook

    def moving(*arguments: Any) -> Entry:
        entry = run_notebook(*arguments)
        os.chdir("/")
        return entry

    monkeypatch.setattr(runner, "run_notebook", moving)
    monkeypatch.chdir(tmp_path)
    assert reproduce(tmp_path) == 0
    assert Path.cwd() == tmp_path


def test_a_second_call_keeps_the_other_entries(tmp_path: Path) -> None:
    write_notebook(tmp_path, "01_one", "x = 1")
    write_notebook(tmp_path, "02_two", "x = 2")
    assert reproduce(tmp_path, "01") == 0
    assert reproduce(tmp_path, "02") == 0
    assert names(tmp_path) == ["01_one", "02_two"]


def test_untimed_notebooks_run_side_by_side_and_before_the_rest(tmp_path: Path) -> None:
    first = str(tmp_path / "a")
    second = str(tmp_path / "b")
    write_notebook(
        tmp_path, "01_clock", f"import pathlib; assert pathlib.Path({second!r}).exists()"
    )
    write_notebook(tmp_path, "02_one", MEET.format(here=first, there=second), lane=2)
    write_notebook(tmp_path, "03_two", MEET.format(here=second, there=first), lane=1)
    assert reproduce(tmp_path, jobs=2) == 0
    assert names(tmp_path) == ["01_clock", "02_one", "03_two"]
    known = summary(tmp_path)
    one_by_one = sum(entry["seconds"] for entry in known["notebooks"])
    assert known["seconds"] < one_by_one


def test_resume_runs_what_is_missing_failed_or_changed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    broken = tmp_path / "broken"
    broken.touch()
    fails = f"import pathlib; assert not pathlib.Path('{broken}').exists()"
    write_notebook(tmp_path, "01_same", appends(log, "a"))
    write_notebook(tmp_path, "02_fails", appends(log, "b"), fails)
    write_notebook(tmp_path, "99_report", appends(log, "r"))

    assert reproduce(tmp_path, resume=True) == 1
    broken.unlink()
    assert reproduce(tmp_path, resume=True) == 0
    assert log.read_text() == "abrbr"  # what failed, and the report, which reads the others

    write_notebook(tmp_path, "01_same", appends(log, "A"))
    (tmp_path / "r" / "quick" / "notebooks" / "02_fails.ipynb").unlink()  # as a kill leaves it
    assert reproduce(tmp_path, resume=True) == 0
    assert log.read_text() == "abrbrAbr"
    assert reproduce(tmp_path, resume=False) == 0
    assert log.read_text() == "abrbrAbrAbr"
    assert len(names(tmp_path)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("large",), "unknown profile 'large', choose one of: quick, standard, full"),
        (("quick", ["07"]), "no notebook '07', there are: 01_sizes"),
        (("quick",), "01_sizes.ipynb has no parameter profile and source; it has: size"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_runs(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    write_notebook(tmp_path, "01_sizes", "x = 1", parameters="size: int = 3  # samples")
    with pytest.raises(ValueError, match=message):
        runner.reproduce(*arguments, results=tmp_path / "r", notebooks=tmp_path)
    assert not (tmp_path / "r").exists()


def test_no_notebooks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="run in a clone"):
        runner.select((), tmp_path)


@contextmanager
def removed_again_and_again(flag: Path) -> Iterator[None]:
    """Remove a file whenever it is there."""
    stop = threading.Event()

    def remove() -> None:
        while not stop.wait(LOOK):
            flag.unlink(missing_ok=True)

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_an_interrupted_run_is_continued(tmp_path: Path) -> None:
    log = tmp_path / "log"
    flag = tmp_path / "flag"
    write_notebook(tmp_path, "01_first", appends(log, "a"))
    write_notebook(tmp_path, "02_second", WAIT.format(flag=str(flag)), appends(log, "b"))
    command = [sys.executable, "-c", REPRODUCE, str(tmp_path), str(tmp_path / "r")]
    process = subprocess.Popen(command, start_new_session=True)
    end = time.time() + 60
    while not flag.exists():
        assert time.time() < end
        time.sleep(LOOK)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    flag.unlink()
    assert log.read_text() == "a"

    with removed_again_and_again(flag):
        assert reproduce(tmp_path) == 0
    assert log.read_text() == "ab"  # the first did not run again
    assert not (tmp_path / "r" / "quick" / ".unfinished").exists()
