"""Run the notebooks as one bundle: parameters checked first, failures kept, memory and time measured."""

import contextlib
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import papermill
import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm
from traitlets.config import Config

from hetlib import page
from hetlib.paths import NOTEBOOKS, RESULTS

__all__ = ["PROFILES", "reproduce", "select", "watch_memory"]

# Seconds that one cell may take before its notebook counts as failed.
PROFILES: dict[str, int | None] = {"quick": 900, "standard": 3 * 3600, "full": None}
PACKAGES = ("hetlib", "torch", "torchvision", "numpy", "pandas", "matplotlib", "rasterio", "papermill")


@contextlib.contextmanager
def watch_memory(seconds: float = 0.5) -> Iterator[list[float]]:
    """Yield a one-item list that holds the peak memory of this process and its descendants, in MB.

    Proportional set size counts a page that k processes share as 1/k in each, so the sum over
    processes is what they really take. Outside Linux the resident size stands in, which is larger.
    """
    peak, stop, me = [0.0], threading.Event(), psutil.Process()

    def watch() -> None:
        while True:
            peak[0] = max(peak[0], sum(map(_pss_mb, [me, *me.children(recursive=True)])))
            if stop.wait(seconds):
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def _pss_mb(process: psutil.Process) -> float:
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        return int(rollup.split("\nPss:")[1].split()[0]) / 1024
    except (OSError, IndexError):  # ended meanwhile, or not Linux
        with contextlib.suppress(psutil.Error):
            return float(process.memory_info().rss) / 2**20
    return 0.0


def _kernel(folder: str, results: Path) -> dict[str, Any]:
    """Return settings for a kernel of this interpreter, whatever a user's ``python3`` kernel points to.

    It talks over sockets in ``folder``, without a port, and does not read or write the user's IPython
    profile, whose start-up files would run in it.
    """
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    variables = {"HETLIB_RESULTS": str(results), "IPYTHONDIR": folder}
    spec = KernelSpec(argv=command, language="python", env=variables)
    manager = type("ThisInterpreter", (AsyncKernelManager,), {"kernel_spec": spec})
    traits = {"transport": "ipc", "connection_file": f"{folder}/kernel.json"}
    return {"kernel_manager_class": manager, "config": Config({"KernelManager": traits})}


class _Lines:
    """What a notebook prints, line by line above the progress bar."""

    rest = ""

    def write(self, text: str) -> None:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            tqdm.write(f"    {line}", file=sys.stdout)

    def flush(self) -> None:
        sys.stdout.flush()


def select(only: Sequence[str] = (), notebooks: Path = NOTEBOOKS) -> list[Path]:
    """Return the notebooks in order, or those whose name begins with an item of ``only``."""
    found = sorted(notebooks.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise ValueError(f"no notebooks in {notebooks}: run in a clone, installed with pip install -e .")
    for item in only:
        if not any(path.stem.startswith(item) for path in found):
            raise ValueError(f"no notebook {item!r}, there are: {', '.join(path.stem for path in found)}")
    return [path for path in found if not only or path.stem.startswith(tuple(only))]


def reproduce(
    profile: str = "quick", only: Sequence[str] = (), results: Path | None = None, notebooks: Path = NOTEBOOKS
) -> int:
    """Run the notebooks and collect what they made in ``results/<profile>/index.html``.

    A notebook that fails is kept with the error at its head, and the others still run. Entries of
    ``bundle.json`` for notebooks that this call does not run stay; its ``seconds`` is the sum and its
    ``peak_pss_mb`` the maximum over all entries.

    Args:
        profile: Size of everything: ``quick``, ``standard`` or ``full``.
        only: Numbers or names of notebooks to run; empty for all.
        results: Folder for the results, ``HETLIB_RESULTS`` or ``results`` in the clone when absent.
        notebooks: Folder with the notebooks.

    Returns:
        Exit status: 0 when every notebook succeeded, else 1.

    Raises:
        ValueError: Unknown profile or notebook, or a notebook without the parameter, before any runs.
    """
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}, choose one of: {', '.join(PROFILES)}")
    chosen, there = select(only, notebooks), {path.stem for path in select((), notebooks)}
    for path in chosen:  # papermill only warns, and runs the notebook with its own default
        if "profile" not in (declared := papermill.inspect_notebook(path)):
            raise ValueError(f"{path.name} has no parameter profile; it has: {', '.join(declared) or 'none'}")
    results = (results or RESULTS).resolve()
    target = results / profile
    (target / "notebooks").mkdir(parents=True, exist_ok=True)
    entries = _entries(target)
    print(f"{len(chosen)} of {len(there)} notebooks, profile {profile}, results in {target}", flush=True)
    with tqdm(chosen, unit="notebook", disable=None) as bar:
        for path in bar:
            bar.set_description(path.stem)
            tqdm.write(path.stem, file=sys.stdout)
            entries[path.stem] = entry = _run(path, target, profile)
            tqdm.write(f"  {entry['status']} in {entry['seconds']:.0f} s", file=sys.stdout)
            summary = _summary(profile, [entries[name] for name in sorted(there & set(entries))])
            page.write(target / "bundle.json", json.dumps(summary, indent=1) + "\n")
    page.write(target / "index.html", page.render(target, summary, notebooks))
    failed = [entries[path.stem] for path in chosen if entries[path.stem]["status"] == "failed"]
    for entry in failed:
        print(f"FAILED {entry['name']}, cell {entry['cell']}: {entry['error']}", file=sys.stderr)
        print(f"  kept as {target / 'notebooks' / entry['name']}.ipynb", file=sys.stderr)
    print(f"{len(chosen) - len(failed)} of {len(chosen)} notebooks succeeded; see {target / 'index.html'}")
    return 1 if failed else 0


def _run(path: Path, target: Path, profile: str) -> dict[str, Any]:
    """Run one notebook; return its entry for ``bundle.json``."""
    output = target / "notebooks" / path.name
    output.unlink(missing_ok=True)  # an earlier run's must not pass for this one's
    failure: dict[str, Any] = {}
    start = time.perf_counter()
    with watch_memory() as peak, tempfile.TemporaryDirectory() as folder:
        try:
            papermill.execute_notebook(
                path,
                output,
                parameters={"profile": profile},
                kernel_name="python3",
                **_kernel(folder, target.parent),
                cwd=path.parent,  # where JupyterLab starts it too
                progress_bar=False,
                stdout_file=_Lines(),
                start_timeout=180,
                execution_timeout=PROFILES[profile],
            )
        except PapermillExecutionError as error:
            failure = {"cell": error.exec_count, "error": f"{error.ename}: {error.evalue}"}
        except Exception as error:  # a dead kernel, a time-out: the other notebooks still run
            message = f"{type(error).__name__}: {error}".strip()
            failure = {"cell": page.mark_stop(output, message), "error": message}
        if output.exists():
            page.convert(output)
    return {
        "name": path.stem,
        "status": "failed" if failure else "succeeded",
        "seconds": round(time.perf_counter() - start, 1),
        "peak_pss_mb": round(peak[0]),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    } | failure


def _entries(target: Path) -> dict[str, dict[str, Any]]:
    path = target / "bundle.json"
    entries = json.loads(path.read_text())["notebooks"] if path.exists() else []
    return {entry["name"]: entry for entry in entries}


def _summary(profile: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "profile": profile,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(sum(entry["seconds"] for entry in entries), 1),
        "peak_pss_mb": max(entry["peak_pss_mb"] for entry in entries),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "versions": versions,
        "notebooks": entries,
    }
