"""Files are whole or not there, whoever writes them at once, and a full disk is named."""

import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hetlib.files import full_disk_named, write_text

# With a limit for the size of files, which is as an end of the disk.
TOO_LARGE = """
import resource, signal, sys
from pathlib import Path
from hetlib.files import write_text
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_text(Path(sys.argv[1]), "x" * 5000)
"""


def test_threads_may_write_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda number: write_text(path, f"{number}" * 200), range(400)))
    assert written == [path] * 400
    assert len(set(path.read_text())) <= 3
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_has_the_rights_that_the_user_gives_new_ones(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    path = write_text(tmp_path / "x", "")
    assert path.stat().st_mode == plain.stat().st_mode


def test_names_may_be_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    name = "n" * 250
    assert write_text(tmp_path / name, "a").read_text() == "a"


def test_a_limit_of_the_disk_is_named_with_the_file_and_nothing_half_stays(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    path.write_text("before")
    done = subprocess.run(
        [sys.executable, "-c", TOO_LARGE, str(path)], capture_output=True, text=True
    )
    last = done.stderr.strip().splitlines()[-1]
    assert "the disk is full" in last
    assert str(path) in last
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_named_and_other_errors_stay() -> None:
    full = Path("/dev/full")
    with (
        pytest.raises(OSError, match=r"the disk is full.*/dev/full"),
        full_disk_named(full),
        full.open("w") as file,
    ):
        file.write("x")
    with pytest.raises(NotADirectoryError), full_disk_named(full):
        list(full.iterdir())
