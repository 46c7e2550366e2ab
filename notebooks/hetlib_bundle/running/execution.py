"""One notebook, run by papermill in a kernel of this interpreter, timed and watched."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec
from nbconvert import HTMLExporter
from papermill.exceptions import PapermillExecutionError
from tqdm.contrib import DummyTqdmFile
from traitlets.config import Config

from hetlib.files import write_text
from hetlib.replicas.folder import own_folder
from hetlib_bundle.running.kernels import WatchedKernelManager
from hetlib_bundle.running.ledger import Entry, now
from hetlib_bundle.running.memory import watch_memory

# Seconds that one cell may take before its notebook counts as failed, by profile.
CELL_SECONDS: dict[str, int | None] = {"quick": 900, "standard": 3 * 3600, "full": None}

# Seconds that a kernel may take to start.
START_SECONDS = 180


class Failure(NamedTuple):
    """Where a notebook stopped, and why."""

    # Number of the code cell; 0 where no cell began.
    cell: int

    # In one line.
    error: str


def run_notebook(path: Path, target: Path, profile: str, source: str) -> Entry:
    """Run one notebook, and keep it as it ended: as a notebook and as HTML.

    Args:
        path: Of the notebook.
        target: Folder of results; what was run lies in its folder ``notebooks``.
        profile: Size, a parameter of the notebook.
        source: "computed" or "recorded", a parameter of the notebook.

    Returns:
        How it went. A notebook that failed is no exception: the others still run.
    """
    output = target / "notebooks" / path.name
    output.unlink(missing_ok=True)  # an earlier run's must not pass for this one's
    start = time.perf_counter()
    with watch_memory() as peak:
        failure = _execute(path, output, profile, source)
    if output.exists():
        page, _ = HTMLExporter().from_filename(str(output))
        write_text(output.with_suffix(".html"), page)
    seconds = time.perf_counter() - start

    entry: Entry = {
        "name": path.stem,
        "status": "failed" if failure else "succeeded",
        "seconds": round(seconds, 1),
        "peak_pss_mb": round(peak.megabytes),
        "finished": now(),
    }
    if failure:
        entry["cell"] = failure.cell
        entry["error"] = failure.error
    return entry


def _execute(path: Path, output: Path, profile: str, source: str) -> Failure | None:
    """Run a notebook into ``results/<folder>/notebooks/<name>``; return its failure, if any."""
    results = output.parents[2]
    with tempfile.TemporaryDirectory(dir=own_folder(), ignore_cleanup_errors=True) as folder:
        try:
            papermill.execute_notebook(
                path,
                output,
                {"profile": profile, "source": source},
                cwd=path.parent,
                start_timeout=START_SECONDS,
                execution_timeout=CELL_SECONDS[profile],
                progress_bar=False,
                stdout_file=DummyTqdmFile(sys.stdout),
                **_kernel(folder, results),
            )
        except PapermillExecutionError as error:
            return Failure(error.exec_count, f"{error.ename}: {error.evalue}")
        except Exception as error:  # a dead kernel, a time-out: the other notebooks still run
            message = f"{type(error).__name__}: {error}".strip()
            return Failure(_mark_stop(output, message), message)
    return None


def _kernel(folder: str, results: Path) -> dict[str, Any]:
    """Return papermill's settings for a kernel of this interpreter.

    A user's own ``python3`` spec and IPython profile are left aside.

    Args:
        folder: An empty one, for the kernel's files while it runs.
        results: Where the notebook's products go.
    """
    spec = KernelSpec(
        argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        language="python",
        env={"HETLIB_RESULTS": str(results), "IPYTHONDIR": folder, "HETLIB_BATCH": "1"},
    )
    manager = type("ThisInterpreter", (WatchedKernelManager,), {"kernel_spec": spec})
    connection = {"transport": "ipc", "connection_file": f"{folder}/kernel.json"}
    return {
        "kernel_name": "python3",
        "kernel_manager_class": manager,
        "config": Config({"KernelManager": connection}),
    }


def _mark_stop(output: Path, message: str) -> int:
    """Put an error that papermill leaves out at a notebook's head.

    Returns:
        The number of the code cell that it stopped in; 0 where there is no notebook.
    """
    if not output.exists():
        return 0
    notebook = nbformat.read(output, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    begun = sum(1 for cell in code if cell.metadata.papermill.start_time)

    text = f"**Stopped in code cell {begun}**\n\n```\n{message}\n```"
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell(text))
    write_text(output, nbformat.writes(notebook) + "\n")
    return begun
