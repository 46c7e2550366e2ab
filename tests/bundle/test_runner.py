"""Small notebooks through the real runner."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from hetlib_bundle import cli
from hetlib_bundle.running import runner

PNG = """
import os, pathlib
from PIL import Image
folder = pathlib.Path(os.environ["HETLIB_RESULTS"]) / profile / "figures"
folder.mkdir(parents=True, exist_ok=True)
Image.new("RGB", (700, 300), "teal").save(folder / "{number}_plot.png", dpi=(200, 200))
(folder / "{number}_plot.json").write_text('{{"caption": "Wait < step time", "records": []}}')
"""
CSV = """
folder = pathlib.Path(os.environ["HETLIB_RESULTS"]) / profile / "tables"
folder.mkdir(parents=True, exist_ok=True)
(folder / "{number}_scores.csv").write_text("strategy,kappa\\nbalanced,0.123456\\n")
"""


def notebook(
    folder: Path,
    name: str,
    *cells: str,
    lane: int = 0,
    parameters: str = 'profile: str = "full"  # size\nsource: str = ""  # computed or recorded',
) -> None:
    new = nbformat.v4
    first = new.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    code = [first, *map(new.new_code_cell, cells)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    metadata |= {"hetlib": {"untimed": lane}} if lane else {}
    nb = new.new_notebook(
        cells=[new.new_markdown_cell(f"# About {name}"), *code], metadata=metadata
    )
    nbformat.write(nb, folder / f"{name}.ipynb")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path, str]:
    """Three notebooks, the second of which fails: status, results of the quick profile, what was printed."""
    folder = tmp_path_factory.mktemp("note books")
    notebook(
        folder, "01_good", PNG.format(number="01"), CSV.format(number="01"), "print('epoch 1')"
    )
    notebook(
        folder,
        "02_bad",
        "shares = [3, 1]",
        "raise RuntimeError('replica 1 is gone')",
        "print('never')",
    )
    notebook(folder, "03_after", "import sys; print('kernel', sys.executable)")
    (folder / "notes.ipynb").write_text("not one of ours")
    with pytest.MonkeyPatch.context() as patch:
        # A user's own "python3" kernel, which must not be used.
        decoy = folder / "jupyter" / "kernels" / "python3"
        decoy.mkdir(parents=True)
        (decoy / "kernel.json").write_text(
            '{"argv": ["/bin/false"], "display_name": "x", "language": "python"}'
        )
        patch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
        code = "import sys, pathlib; from hetlib_bundle import runner; a, b = map(pathlib.Path, sys.argv[1:])\n"
        code += "sys.exit(runner.reproduce('quick', (), b, a))"
        command = [sys.executable, "-c", code, str(folder), str(folder / "results")]
        done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, folder / "results" / "quick", done.stdout + done.stderr


def test_failure_is_named_and_the_rest_still_runs(ran: tuple[int, Path, str]) -> None:
    status, target, printed = ran
    assert status == 1
    assert "FAILED 02_bad, cell 4: RuntimeError: replica 1 is gone" in printed
    assert "2 of 3 notebooks succeeded" in printed
    states = [n["status"] for n in json.loads((target / "bundle.json").read_text())["notebooks"]]
    assert states == ["succeeded", "failed", "succeeded"]


def test_what_a_notebook_prints_is_seen(ran: tuple[int, Path, str]) -> None:
    assert "\nepoch 1\n" in ran[2]


def test_kernel_is_this_interpreter(ran: tuple[int, Path, str]) -> None:
    assert f"kernel {sys.executable}" in ran[2]


def test_failed_notebook_is_kept_with_its_error_first(ran: tuple[int, Path, str]) -> None:
    kept = nbformat.read(ran[1] / "notebooks" / "02_bad.ipynb", as_version=4)
    assert "An Exception was encountered" in kept.cells[0].source
    assert (ran[1] / "notebooks" / "02_bad.html").exists()


def test_profile_reaches_the_notebook(ran: tuple[int, Path, str]) -> None:
    assert (ran[1] / "figures" / "01_plot.png").exists()
    assert not (ran[1].parent / "full").exists()


def test_time_and_memory_are_recorded(ran: tuple[int, Path, str]) -> None:
    summary = json.loads((ran[1] / "bundle.json").read_text())
    assert summary["seconds"] >= sum(n["seconds"] for n in summary["notebooks"]) - 0.1
    # A kernel alone takes some tens of MB.
    assert summary["peak_pss_mb"] == max(n["peak_pss_mb"] for n in summary["notebooks"]) > 50
    assert {"python", "torch", "papermill"} <= set(summary["versions"])


def test_page_shows_figures_tables_and_errors(ran: tuple[int, Path, str]) -> None:
    html = (ran[1] / "index.html").read_text()
    assert html.count("data:image/png;base64,") == 1
    assert "Wait &lt; step time" in html
    assert "<td>balanced</td>" in html
    assert "0.1235" in html
    assert "replica 1 is gone" in html
    assert "About 01_good" in html
    assert "02_bad.html" in html


def test_the_source_reaches_the_notebook_and_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    notebook(
        tmp_path,
        "01_says",
        f"import pathlib; pathlib.Path('{log}').write_text(f'{{profile}} {{source}}')",
    )
    assert runner.reproduce("", (), tmp_path / "r", tmp_path, source="recorded") == 0
    assert log.read_text() == "standard recorded"
    assert (
        json.loads((tmp_path / "r/standard-recorded/bundle.json").read_text())["profile"]
        == "standard-recorded"
    )
    # which the notebook would take, were it not told
    monkeypatch.setenv("HETLIB_SOURCE", "recorded")
    assert runner.reproduce("quick", (), tmp_path / "r", tmp_path, source="computed") == 0
    assert log.read_text() == "quick computed"
    assert (tmp_path / "r/quick/index.html").exists()


def test_a_second_call_keeps_the_other_entries(ran: tuple[int, Path, str], tmp_path: Path) -> None:
    notebook(tmp_path, "01_one", "x = 1")
    notebook(tmp_path, "02_two", "x = 2")
    assert runner.reproduce("quick", ["01"], tmp_path / "r", tmp_path) == 0
    assert runner.reproduce("quick", ["02"], tmp_path / "r", tmp_path) == 0
    names = [
        n["name"] for n in json.loads((tmp_path / "r/quick/bundle.json").read_text())["notebooks"]
    ]
    assert names == ["01_one", "02_two"]


def test_untimed_notebooks_run_side_by_side_and_before_the_rest(tmp_path: Path) -> None:
    meet = "import pathlib, time\nhere, there = (pathlib.Path('{0}') / n for n in '{1}')\nhere.touch()\n"
    meet += "end = time.time() + 60\nwhile not there.exists():\n    assert time.time() < end; time.sleep(0.05)"
    notebook(tmp_path, "01_clock", f"import pathlib; assert pathlib.Path('{tmp_path}/b').exists()")
    notebook(tmp_path, "02_one", meet.format(tmp_path, "ab"), lane=2)
    notebook(tmp_path, "03_two", meet.format(tmp_path, "ba"), lane=1)
    assert runner.reproduce("quick", (), tmp_path / "r", tmp_path, jobs=2) == 0
    entries = json.loads((tmp_path / "r/quick/bundle.json").read_text())
    assert [n["name"] for n in entries["notebooks"]] == ["01_clock", "02_one", "03_two"]
    assert entries["seconds"] < sum(n["seconds"] for n in entries["notebooks"])


def test_resume_runs_what_is_missing_failed_or_changed(tmp_path: Path) -> None:
    count = "import pathlib; p = pathlib.Path('{0}'); p.write_text(p.read_text() + '{1}' if p.exists() else '{1}')"
    log, broken = tmp_path / "log", tmp_path / "broken"
    broken.touch()
    notebook(tmp_path, "01_same", count.format(log, "a"))
    notebook(
        tmp_path,
        "02_fails",
        count.format(log, "b"),
        f"assert not pathlib.Path('{broken}').exists()",
    )
    notebook(tmp_path, "99_report", count.format(log, "r"))

    def run(resume: bool = True) -> int:
        return runner.reproduce("quick", (), tmp_path / "r", tmp_path, resume=resume)

    assert run() == 1
    broken.unlink()
    assert run() == 0  # what failed, and the report, which reads the others
    assert log.read_text() == "abrbr"
    notebook(tmp_path, "01_same", count.format(log, "A"))
    (tmp_path / "r" / "quick" / "notebooks" / "02_fails.ipynb").unlink()  # as a kill leaves it
    assert run() == 0
    assert log.read_text() == "abrbrAbr"
    assert run(resume=False) == 0
    assert log.read_text() == "abrbrAbrAbr"
    assert len(json.loads((tmp_path / "r/quick/bundle.json").read_text())["notebooks"]) == 3


def test_a_dead_kernel_and_a_slow_cell_are_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook(tmp_path, "01_dies", "import os\nos._exit(9)")
    notebook(tmp_path, "02_slow", "import time\ntime.sleep(60)")
    monkeypatch.setitem(runner.PROFILES, "quick", 2)
    assert runner.reproduce("quick", (), tmp_path / "r", tmp_path) == 1
    dead, slow = json.loads((tmp_path / "r/quick/bundle.json").read_text())["notebooks"]
    assert dead["cell"] == slow["cell"] == 3  # the parameters, those passed, then this one
    assert "died" in dead["error"]
    assert "timed out" in slow["error"]
    kept = nbformat.read(tmp_path / "r/quick/notebooks/02_slow.ipynb", as_version=4)
    assert "Stopped in code cell 3" in kept.cells[0].source


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
    notebook(tmp_path, "01_sizes", "x = 1", parameters="size: int = 3  # samples")
    with pytest.raises(ValueError, match=message):
        runner.reproduce(*arguments, results=tmp_path / "r", notebooks=tmp_path)
    assert not (tmp_path / "r").exists()


def test_no_notebooks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="run in a clone"):
        runner.select((), tmp_path)


def test_memory_counts_children() -> None:
    code = "import time; x = bytearray(b'1') * 80_000_000; print('up', flush=True); time.sleep(30)"
    with runner.watch_memory(0.05) as alone:
        pass
    with (
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child,
        runner.watch_memory(0.05) as peak,
    ):
        assert child.stdout is not None
        child.stdout.readline()
        runner.time.sleep(0.3)
        child.kill()
    assert peak[0] - alone[0] > 70


def test_command_line_reports_in_one_line() -> None:
    done = CliRunner().invoke(cli.app, ["reproduce", "--profile", "huge"])
    assert done.exit_code == 2
    assert "hetlib: unknown profile 'huge'" in done.output


def test_help_names_the_commands() -> None:
    command = [sys.executable, "-m", "hetlib_bundle", "--help"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"}
    )
    assert done.returncode == 0
    assert "reproduce" in done.stdout


def test_an_interrupted_run_is_continued(tmp_path: Path) -> None:
    log, flag = tmp_path / "log", tmp_path / "flag"
    note = f"import pathlib; p = pathlib.Path('{log}'); p.write_text((p.read_text() if p.exists() else '') + '{{0}}')"
    notebook(tmp_path, "01_first", note.format("a"))
    wait = f"import time, pathlib; pathlib.Path('{flag}').touch()\nwhile pathlib.Path('{flag}').exists(): time.sleep(0.1)"
    notebook(tmp_path, "02_second", wait, note.format("b"))
    code = "import sys, pathlib; from hetlib_bundle import runner; a, b = map(pathlib.Path, sys.argv[1:])\n"
    code += "runner.reproduce('quick', (), b, a)"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), str(tmp_path / "r")], start_new_session=True
    )
    end = time.time() + 60
    while not flag.exists():
        assert time.time() < end
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    flag.unlink()
    log_before = log.read_text()
    stop = threading.Event()

    def release() -> None:
        while not stop.is_set():
            flag.unlink(missing_ok=True)
            time.sleep(0.2)

    thread = threading.Thread(target=release)
    thread.start()
    try:
        assert runner.reproduce("quick", (), tmp_path / "r", tmp_path) == 0
    finally:
        stop.set()
        thread.join()
    assert (log_before, log.read_text()) == ("a", "ab")  # the first did not run again
    assert not (tmp_path / "r/quick/.unfinished").exists()
