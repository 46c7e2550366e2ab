"""Small notebooks through the real runner, one of which fails: what is kept, shown and measured."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest

from hetlib_bundle.running import execution
from tests.bundle.running.made import reproduce, summary, write_notebook

PLOT = """
import os, pathlib
from PIL import Image
folder = pathlib.Path(os.environ["HETLIB_RESULTS"]) / profile / "figures"
folder.mkdir(parents=True, exist_ok=True)
Image.new("RGB", (700, 300), "teal").save(folder / "01_plot.png", dpi=(200, 200))
(folder / "01_plot.json").write_text('{"caption": "Wait < step time", "records": []}')
"""
SCORES = """
folder = pathlib.Path(os.environ["HETLIB_RESULTS"]) / profile / "tables"
folder.mkdir(parents=True, exist_ok=True)
(folder / "01_scores.csv").write_text("strategy,kappa\\nbalanced,0.123456\\n")
"""
# In a process of its own: notebooks, results.
REPRODUCE = """
import pathlib, sys
from hetlib_bundle.running import runner
notebooks, results = map(pathlib.Path, sys.argv[1:])
sys.exit(runner.reproduce("quick", (), results, notebooks))
"""
# Of a user's own, which must not be used.
DECOY = {"argv": ["/bin/false"], "display_name": "x", "language": "python"}


class Ran(NamedTuple):
    status: int
    target: Path
    printed: str

    @property
    def summary(self) -> dict[str, Any]:
        known: dict[str, Any] = json.loads((self.target / "bundle.json").read_text())
        return known


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Three notebooks at the quick profile, the second of which fails."""
    folder = tmp_path_factory.mktemp("note books")
    write_notebook(folder, "01_good", PLOT, SCORES, "print('epoch 1')")
    fails = "raise RuntimeError('replica 1 is gone')"
    write_notebook(folder, "02_bad", "shares = [3, 1]", fails, "print('never')")
    write_notebook(folder, "03_after", "import sys; print('kernel', sys.executable)")
    (folder / "notes.ipynb").write_text("not one of ours")
    decoy = folder / "jupyter" / "kernels" / "python3"
    decoy.mkdir(parents=True)
    (decoy / "kernel.json").write_text(json.dumps(DECOY))

    results = folder / "results"
    command = [sys.executable, "-c", REPRODUCE, str(folder), str(results)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
        done = subprocess.run(command, capture_output=True, text=True)
    return Ran(done.returncode, results / "quick", done.stdout + done.stderr)


def test_failure_is_named_and_the_rest_still_runs(ran: Ran) -> None:
    assert ran.status == 1
    assert "FAILED 02_bad, cell 4: RuntimeError: replica 1 is gone" in ran.printed
    assert "2 of 3 notebooks succeeded" in ran.printed
    states = [entry["status"] for entry in ran.summary["notebooks"]]
    assert states == ["succeeded", "failed", "succeeded"]


def test_what_a_notebook_prints_is_seen(ran: Ran) -> None:
    assert "\nepoch 1\n" in ran.printed


def test_kernel_is_this_interpreter(ran: Ran) -> None:
    assert f"kernel {sys.executable}" in ran.printed


def test_failed_notebook_is_kept_with_its_error_first(ran: Ran) -> None:
    kept = nbformat.read(ran.target / "notebooks" / "02_bad.ipynb", as_version=4)
    assert "An Exception was encountered" in kept.cells[0].source
    assert (ran.target / "notebooks" / "02_bad.html").exists()


def test_profile_reaches_the_notebook(ran: Ran) -> None:
    assert (ran.target / "figures" / "01_plot.png").exists()
    assert not (ran.target.parent / "full").exists()


def test_time_and_memory_are_recorded(ran: Ran) -> None:
    known = ran.summary
    seconds = [entry["seconds"] for entry in known["notebooks"]]
    peaks = [entry["peak_pss_mb"] for entry in known["notebooks"]]
    assert known["seconds"] >= sum(seconds) - 0.1
    assert known["peak_pss_mb"] == max(peaks)
    assert max(peaks) > 50  # MB: a kernel alone takes some tens
    assert {"python", "torch", "papermill"} <= set(known["versions"])


def test_page_shows_figures_tables_and_errors(ran: Ran) -> None:
    html = (ran.target / "index.html").read_text()
    assert html.count("data:image/png;base64,") == 1
    assert "Wait &lt; step time" in html
    assert "<td>balanced</td>" in html
    assert "0.1235" in html
    assert "replica 1 is gone" in html
    assert "About 01_good" in html
    assert "02_bad.html" in html


def test_a_dead_kernel_and_a_slow_cell_are_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_notebook(tmp_path, "01_dies", "import os\nos._exit(9)")
    write_notebook(tmp_path, "02_slow", "import time\ntime.sleep(60)")
    monkeypatch.setitem(execution.CELL_SECONDS, "quick", 2)
    assert reproduce(tmp_path) == 1
    dead, slow = summary(tmp_path)["notebooks"]
    assert dead["cell"] == slow["cell"] == 3  # the parameters, those passed, then this one
    assert "died" in dead["error"]
    assert "timed out" in slow["error"]
    kept = nbformat.read(tmp_path / "r/quick/notebooks/02_slow.ipynb", as_version=4)
    assert "Stopped in code cell 3" in kept.cells[0].source
