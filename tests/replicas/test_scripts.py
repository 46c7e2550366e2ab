"""Scripts of a user's own: without a guard, from a pipe, killed at any moment."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hetlib.replicas.folder import own_folder, sweep
from tests.project import ROOT

UNGUARDED = """
import math
import hetlib
with hetlib.Replicas(hetlib.Platform.emulated([1, 1])) as replicas:
    print(replicas.run(math.sqrt))
"""
NAMES_AN_INTERFACE = 'import os; os.environ["GLOO_SOCKET_IFNAME"] = "lo,nic7"' + UNGUARDED
TOLD = 'put those lines below `if __name__ == "__main__":`.'

# Starts replicas, and tells the numbers of their processes.
LONG = """
import sys
import hetlib
from tests import workers
if __name__ == "__main__":
    replicas = hetlib.Replicas(hetlib.Platform.emulated([1, 1]))
    print(*replicas.run(workers.process_id), flush=True)
    replicas.run(workers.sleep, 60.0)
"""


def surroundings(tmp_path: Path, **more: str) -> dict[str, str]:
    paths = [str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more}


def last_line(command: list[str], tmp_path: Path, **options: object) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=surroundings(tmp_path),
        cwd=tmp_path,
        **options,
    )
    return (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize("how", ["script", "module", "spawn"])
def test_a_script_without_a_guard_is_told_so_in_its_last_line(how: str, tmp_path: Path) -> None:
    code = UNGUARDED
    if how == "spawn":
        code = "import sys, hetlib.replicas.processes\nsys.platform = 'darwin'" + UNGUARDED
    (tmp_path / "mine.py").write_text(code)
    command = {"module": ["-m", "mine"]}.get(how, ["mine.py"])
    last = last_line([sys.executable, *command], tmp_path)
    assert last.startswith("hetlib.errors.ReplicaError: replica ")
    assert last.endswith(TOLD)


@pytest.mark.parametrize("how", ["-", "-c"])
def test_a_script_that_nobody_can_import_needs_no_guard(how: str, tmp_path: Path) -> None:
    if how == "-":
        last = last_line([sys.executable, how], tmp_path, input=UNGUARDED)
    else:
        last = last_line([sys.executable, how, UNGUARDED], tmp_path)
    assert last == "[0.0, 1.0]"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for temporary files whose name is short."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.parametrize("letters", [40, 100, 180])
def test_replicas_start_whatever_the_length_of_the_temporary_folders_name(
    letters: int, tmp_path: Path, place: Path
) -> None:
    start_with_temporary_folder(place / ("t" * letters), tmp_path)


@pytest.mark.parametrize("name", ["my files", "Übersicht", "50%20 #1?x=1"])
def test_replicas_start_whatever_signs_are_in_the_temporary_folders_name(
    name: str, tmp_path: Path, place: Path
) -> None:
    start_with_temporary_folder(place / name, tmp_path)


def start_with_temporary_folder(folder: Path, home: Path) -> None:
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", UNGUARDED],
        capture_output=True,
        text=True,
        env=surroundings(home, TMPDIR=str(folder)),
    )
    assert done.stdout.strip() == "[0.0, 1.0]", done.stderr
    assert list(folder.glob("hetlib-*")) == []
    assert list(folder.glob("pymp-*")) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OMP_NUM_THREADS", ""),
        ("OMP_NUM_THREADS", "abc"),
        ("OMP_NUM_THREADS", "0"),
        ("OMP_NUM_THREADS", "1,2"),
        ("GLOO_SOCKET_IFNAME", ""),
        ("GLOO_SOCKET_IFNAME", "lo"),
    ],
)
def test_replicas_start_whatever_threads_and_interface_are_set(
    name: str, value: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNGUARDED],
        capture_output=True,
        text=True,
        env=surroundings(tmp_path, **{name: value}),
    )
    assert done.stdout.strip() == "[0.0, 1.0]", done.stderr


def test_an_interface_that_there_is_not_is_named(tmp_path: Path) -> None:
    last = last_line([sys.executable, "-c", NAMES_AN_INTERFACE], tmp_path)
    assert last.startswith("ValueError: GLOO_SOCKET_IFNAME is ")
    assert "nic7" in last


def alive(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_killed_parent_leaves_no_worker_and_no_folder(
    number: signal.Signals, stopped: bool, tmp_path: Path, place: Path
) -> None:
    (tmp_path / "mine.py").write_text(LONG)
    command = [sys.executable, "mine.py"]
    env = surroundings(tmp_path, TMPDIR=str(place))
    with subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        family = [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
        if stopped:
            os.kill(pids[0], signal.SIGSTOP)
        parent.send_signal(number)
    end = time.monotonic() + 2
    while (alive(family) or list(place.glob("*"))) and time.monotonic() < end:
        time.sleep(0.1)
    assert alive([*pids, *family]) == []
    assert list(place.glob("hetlib-*")) == []
    assert list(place.glob("pymp-*")) == []


def test_the_folder_of_an_owner_that_is_gone_is_swept_and_others_are_kept(place: Path) -> None:
    make = "from hetlib.replicas.folder import own_folder; import os; own_folder(); os._exit(0)"
    env = surroundings(place, TMPDIR=str(place))
    subprocess.run([sys.executable, "-c", make], env=env, check=True)
    (left,) = place.glob("hetlib-*")
    of_somebody = place / "hetlib-notes"
    of_somebody.mkdir()
    mine = own_folder()
    sweep(place)
    sweep(mine.parent)
    assert not left.exists()
    assert of_somebody.exists()
    assert mine.exists()
