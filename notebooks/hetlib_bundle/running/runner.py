"""Run the notebooks as one bundle: parameters checked first, failures kept, memory and time measured."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbconvert import HTMLExporter
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm
from tqdm.contrib import DummyTqdmFile
from traitlets.config import Config

from hetlib_bundle.kept.source import resolve, results_folder
from hetlib_bundle.paths import DATA, NOTEBOOKS, RESULTS, ROOT
from hetlib_bundle.running import page

# Seconds that one cell may take before its notebook counts as failed.
PROFILES: dict[str, int | None] = {"quick": 900, "standard": 3 * 3600, "full": None}


PACKAGES = ("torch", "torchvision", "numpy", "pandas", "matplotlib", "rasterio", "papermill")


@contextlib.contextmanager
def watch_memory(seconds: float = 0.5) -> Iterator[list[float]]:
    """Yield a one-item list that holds the peak memory of this process and its descendants, in MB.

    Sizes are proportional: a page that k processes share counts as 1/k in each. Outside Linux the
    resident sizes stand in, whose sum is larger.
    """
    peak, stop, me = [0.0], threading.Event(), psutil.Process()

    def watch() -> None:
        while True:
            peak[0] = max(peak[0], sum(map(_megabytes, [me, *me.children(recursive=True)])))
            if stop.wait(seconds):
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def _megabytes(process: psutil.Process) -> float:
    try:
        memory = process.memory_full_info()
    except psutil.Error:  # ended meanwhile
        return 0.0
    return float(getattr(memory, "pss", memory.rss)) / 2**20


def select(only: Sequence[str] = (), notebooks: Path = NOTEBOOKS) -> list[Path]:
    """Return the notebooks in order, or those whose name begins with an item of ``only``."""
    found = sorted(notebooks.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise ValueError(
            f"no notebooks in {notebooks}: run in a clone, installed with pip install -e ."
        )
    for item in only:
        if not any(path.stem.startswith(item) for path in found):
            raise ValueError(
                f"no notebook {item!r}, there are: {', '.join(path.stem for path in found)}"
            )
    return [path for path in found if not only or path.stem.startswith(tuple(only))]


def reproduce(
    profile: str = "",
    only: Sequence[str] = (),
    results: Path | None = None,
    notebooks: Path = NOTEBOOKS,
    resume: bool = False,
    jobs: int | None = None,
    source: str = "",
) -> int:
    """Run the notebooks and collect what they made in ``results/<profile>/index.html``.

    With the ``source`` "recorded" they draw what ``data/recorded`` holds, into
    ``results/<profile>-recorded``; where profile or source are empty, `.source.resolve` says which.

    A notebook that fails is kept with the error at its head, the others still run, and the exit
    status that this returns is 1. Notebooks whose metadata say ``"hetlib": {"untimed": 1}`` (the
    longest) or ``2`` run first, ``jobs`` at a time (by default 2, or 1 on a single core); those
    that use a clock follow one by one. Entries of ``bundle.json`` for notebooks that this call does
    not run stay. With ``resume``, those are left out that succeeded before with the same cells,
    code, register of claims and records. A wrong profile, source or notebook, or a notebook without
    these two parameters, is a `ValueError` before any runs. A run of all notebooks that was
    interrupted is continued by the next.
    """
    profile, source = resolve(profile, source)
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}, choose one of: {', '.join(PROFILES)}")
    chosen, there = select(only, notebooks), [path.stem for path in select((), notebooks)]
    for path in chosen:  # papermill only warns, and runs the notebook with its own default
        declared = papermill.inspect_notebook(path)
        if missing := [name for name in ("profile", "source") if name not in declared]:
            has = ", ".join(declared) or "none"
            raise ValueError(f"{path.name} has no parameter {' and '.join(missing)}; it has: {has}")
    folder = results_folder(profile, source)
    target = (results or RESULTS).resolve() / folder
    (target / "notebooks").mkdir(parents=True, exist_ok=True)
    told = target / "bundle.json"
    entries = (
        {entry["name"]: entry for entry in json.loads(told.read_text())["notebooks"]}
        if told.exists()
        else {}
    )
    print(
        f"{len(chosen)} of {len(there)} notebooks, profile {profile}, {source}, results in {target}",
        flush=True,
    )
    started, whole = target / ".unfinished", len(chosen) == len(there)
    since = started.read_text() if whole and started.exists() and not resume else ""
    if since:
        print(
            f"continuing the run of {since}, which did not come to its end; to start anew, delete {started}"
        )
    elif whole and not resume:
        started.write_text(datetime.now(UTC).isoformat(timespec="seconds"))
    bar, begin, lock = (
        tqdm(total=len(chosen), unit="notebook", disable=None),
        time.perf_counter(),
        threading.Lock(),
    )

    def work(path: Path) -> None:
        code = _code(path, source)
        if (resume or since) and _finished(entries.get(path.stem, {}), code, target, since):
            tqdm.write(f"{path.stem} finished before, left as it is")
        else:
            tqdm.write(f"\n{path.stem}")
            entry = _run(path, target, profile, source) | {"source": code}
            tqdm.write(f"{path.stem} {entry['status']} in {entry['seconds']:.0f} s")
            with lock:
                entries[path.stem] = entry
                known = [entries[name] for name in there if name in entries]
                seconds = time.perf_counter() - begin if whole and not (resume or since) else None
                partial = told.with_suffix(".part")
                partial.write_text(json.dumps(_summary(folder, known, seconds), indent=1) + "\n")
                partial.replace(told)  # a kill leaves no half file
        bar.update()

    free = sorted((path for path in chosen if _lane(path)), key=lambda path: (_lane(path), path))
    with ThreadPoolExecutor(jobs or min(2, os.cpu_count() or 1)) as pool:
        list(pool.map(work, free))
    for path in chosen:
        if path not in free:
            work(path)
    bar.close()
    if whole:
        started.unlink(missing_ok=True)
    summary = json.loads(told.read_text())
    (target / "index.html").write_text(page.render(target, summary, notebooks), encoding="utf-8")
    failed = [entries[path.stem] for path in chosen if entries[path.stem]["status"] == "failed"]
    for entry in failed:
        print(f"FAILED {entry['name']}, cell {entry['cell']}: {entry['error']}", file=sys.stderr)
    print(
        f"{len(chosen) - len(failed)} of {len(chosen)} notebooks succeeded; see {target / 'index.html'}"
    )
    return 1 if failed else 0


def _lane(path: Path) -> str:
    """Return "1" or "2" for a notebook that may run beside others (the longest are in 1), "" for the rest."""
    return str(nbformat.read(path, as_version=4).metadata.get("hetlib", {}).get("untimed", ""))


def _code(path: Path, source: str) -> str:
    """Return a SHA-256 of a notebook, the code that it calls, the register of claims, and the records if it has any."""
    code = sorted(
        [*(ROOT / "hetlib").glob("*.*"), *Path(__file__).parent.glob("*.*"), DATA / "claims.yaml"]
    )
    records = sorted((DATA / "recorded").rglob("*.jsonl")) if source == "recorded" else []
    return hashlib.sha256(
        b"".join(file.read_bytes() for file in (path, *code, *records))
    ).hexdigest()


def _finished(entry: dict[str, Any], code: str, target: Path, since: str) -> bool:
    """Say whether a notebook need not run again; the report always does, since it reads what the others left."""
    same = (
        entry.get("status") == "succeeded"
        and entry.get("source") == code
        and entry["finished"] >= since
    )
    return (
        same
        and not entry["name"].startswith("99")
        and (target / "notebooks" / f"{entry['name']}.ipynb").exists()
    )


def _run(path: Path, target: Path, profile: str, source: str) -> dict[str, Any]:
    """Run one notebook; return its entry for ``bundle.json``."""
    output = target / "notebooks" / path.name
    output.unlink(missing_ok=True)  # an earlier run's must not pass for this one's
    settings: dict[str, Any] = {
        "cwd": path.parent,
        "start_timeout": 180,
        "execution_timeout": PROFILES[profile],
    }
    settings |= {"progress_bar": False, "stdout_file": DummyTqdmFile(sys.stdout)}
    failure: dict[str, Any] = {}
    start = time.perf_counter()
    with watch_memory() as peak, tempfile.TemporaryDirectory() as folder:
        settings |= _kernel(folder, target.parent)
        try:
            papermill.execute_notebook(
                path, output, {"profile": profile, "source": source}, **settings
            )
        except PapermillExecutionError as error:
            failure = {"cell": error.exec_count, "error": f"{error.ename}: {error.evalue}"}
        except Exception as error:  # a dead kernel, a time-out: the other notebooks still run
            message = f"{type(error).__name__}: {error}".strip()
            failure = {"cell": _mark_stop(output, message), "error": message}
    if output.exists():
        output.with_suffix(".html").write_text(
            HTMLExporter().from_filename(str(output))[0], encoding="utf-8"
        )
    return {
        "name": path.stem,
        "status": "failed" if failure else "succeeded",
        "seconds": round(time.perf_counter() - start, 1),
        "peak_pss_mb": round(peak[0]),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    } | failure


def _kernel(folder: str, results: Path) -> dict[str, Any]:
    """Return settings for a kernel of this interpreter, not of a user's own ``python3`` spec and IPython profile."""
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    variables = {"HETLIB_RESULTS": str(results), "IPYTHONDIR": folder, "HETLIB_BATCH": "1"}
    spec = KernelSpec(argv=command, language="python", env=variables)
    manager = type("ThisInterpreter", (AsyncKernelManager,), {"kernel_spec": spec})
    config = Config(
        {"KernelManager": {"transport": "ipc", "connection_file": f"{folder}/kernel.json"}}
    )
    return {"kernel_name": "python3", "kernel_manager_class": manager, "config": config}


def _mark_stop(output: Path, message: str) -> int:
    """Put an error that papermill leaves out at a notebook's head; return the code cell it stopped in."""
    if not output.exists():
        return 0
    notebook = nbformat.read(output, as_version=4)
    started = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.metadata.papermill.start_time
    ]
    text = f"**Stopped in code cell {len(started)}**\n\n```\n{message}\n```"
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell(text))
    nbformat.write(notebook, output)
    return len(started)


def _summary(folder: str, entries: list[dict[str, Any]], seconds: float | None) -> dict[str, Any]:
    """``seconds``: of a run of all notebooks; the sum over notebooks stands in where they ran at different times."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "profile": folder,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(
            sum(entry["seconds"] for entry in entries) if seconds is None else seconds, 1
        ),
        "peak_pss_mb": max(entry["peak_pss_mb"] for entry in entries),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "versions": {"python": platform.python_version()} | packages,
        "notebooks": entries,
    }
