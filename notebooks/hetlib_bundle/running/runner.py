"""Run the notebooks as one bundle: parameters checked first, failures kept, one page at the end."""

import contextlib
import io
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import papermill
from tqdm import tqdm

from hetlib.environment import cores
from hetlib.files import write_text
from hetlib_bundle.kept.source import resolve, results_folder
from hetlib_bundle.paths import NOTEBOOKS, RECORDED, RESULTS
from hetlib_bundle.running.execution import CELL_SECONDS, run_notebook
from hetlib_bundle.running.fingerprints import fingerprint
from hetlib_bundle.running.forecast import Forecast, known_seconds
from hetlib_bundle.running.ledger import Entry, Ledger, now
from hetlib_bundle.running.lock import locked
from hetlib_bundle.running.stopping import (
    Terminated,
    in_threads,
    raising_at_sigterm,
    signal_of,
    status_of,
)

# Parameters that every notebook has.
PARAMETERS = ("profile", "source")

# What lies in a folder of results while a run has not come to its end; one of some notebooks has
# their numbers behind it.
MARKER = ".unfinished"

# Notebooks side by side, where there are the cores for it.
JOBS = 2


def select(only: Sequence[str] = (), notebooks: Path = NOTEBOOKS) -> list[Path]:
    """Return the notebooks in order, or those whose name begins with an item of ``only``.

    Args:
        only: Numbers or beginnings of names; empty: all.
        notebooks: Folder that they lie in.

    Raises:
        ValueError: There are no notebooks, or none that begins with an item.
    """
    found = sorted(notebooks.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise ValueError(
            f"no notebooks in {notebooks}: run in a clone, installed with pip install -e ."
        )
    names = [path.stem for path in found]
    for item in only:
        if not any(name.startswith(item) for name in names):
            raise ValueError(f"no notebook {item!r}, there are: {', '.join(names)}")
    if not only:
        return found
    return [path for path in found if path.stem.startswith(tuple(only))]


def reproduce(
    profile: str = "",
    only: Sequence[str] = (),
    results: Path | None = None,
    notebooks: Path = NOTEBOOKS,
    *,
    resume: bool = False,
    jobs: int | None = None,
    source: str = "",
) -> int:
    """Run the notebooks and collect what they made in ``results/<profile>/index.html``.

    A notebook that fails is kept with the error at its head, and the others still run. Notebooks
    whose metadata say ``"hetlib": {"untimed": 1}`` (the longest) or ``2`` run first, side by side;
    those that use a clock follow one by one. Entries of ``bundle.json`` for notebooks that this
    call does not run stay. Ctrl-C and SIGTERM stop the kernels at once, and the page shows what was
    finished. A run that was interrupted is continued by the next one of the same notebooks.

    Args:
        profile: Size; empty: `.source.resolve` says which.
        only: Numbers of notebooks; empty: all.
        results: Folder of all results, by default that of `paths`.
        notebooks: Folder of the notebooks.
        resume: Leave out those that succeeded before with the same cells, code, register of claims
            and records.
        jobs: Untimed notebooks at a time, by default 2, or 1 on a single core.
        source: "computed", or "recorded": they draw what ``data/recorded`` holds, into
            ``results/<profile>-recorded``; empty: `.source.resolve` says which.

    Returns:
        The exit status: 1 where a notebook failed, 130 or 143 where a signal stopped it, else 0.

    Raises:
        ValueError: A wrong profile, source or notebook, or a notebook without these two parameters;
            before any runs.
        BlockingIOError: Another run is at work in the folder of results.
        OSError: The disk is full.
    """
    _print_any_letter()
    profile, source = resolve(profile, source)
    _check_profile(profile)
    chosen = select(only, notebooks)
    _check_parameters(chosen)

    names = [path.stem for path in select((), notebooks)]
    whole = len(chosen) == len(names)
    folder = results_folder(profile, source)
    target = (results or RESULTS).resolve() / folder
    (target / "notebooks").mkdir(parents=True, exist_ok=True)
    asked = f"{len(chosen)} of {len(names)} notebooks, profile {profile}, {source}"
    with locked(target):
        print(f"{asked}, results in {target}", flush=True)
        marker = target / (MARKER if whole else _marker_of(chosen))
        since = ""
        if not resume:
            since = _begin(marker)
        continued = resume or since != ""
        run = _Run(
            profile=profile,
            source=source,
            target=target,
            ledger=Ledger(target / "bundle.json", names, timed=whole and not continued),
            continued=continued,
            since=since,
            forecast=Forecast(
                [path.stem for path in chosen],
                known_seconds(target / "bundle.json", RECORDED / profile / "bundle.json"),
            ),
        )
        try:
            # papermill moves the whole process, and two threads may not bring it back
            with raising_at_sigterm(), contextlib.chdir("."):
                run.run_all(chosen, jobs or _jobs())
        except (KeyboardInterrupt, Terminated) as stop:
            index = _write_page(run, notebooks)
            return _report_stop(run, index, stop)
        marker.unlink(missing_ok=True)
        index = _write_page(run, notebooks)
        return _report([run.ledger.entries[path.stem] for path in chosen], index)


def _marker_of(chosen: Sequence[Path]) -> str:
    """Return the name of the marker of a run of some notebooks."""
    numbers = [path.stem[:2] for path in chosen]
    return "-".join([MARKER, *numbers])


def _write_page(run: "_Run", notebooks: Path) -> Path:
    """Write the page of what is finished; there is none before the first notebook is."""
    from hetlib_bundle.running import page  # brings torch and pandas, of no use beside the kernels

    index = run.target / "index.html"
    if run.ledger.path.exists() and run.ledger.entries:
        write_text(index, page.render(run.target, run.ledger.read(), notebooks))
    return index


def _print_any_letter() -> None:
    """Let letters of notebooks that the output's encoding does not have be printed as ?."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _check_profile(profile: str) -> None:
    if profile not in CELL_SECONDS:
        allowed = ", ".join(CELL_SECONDS)
        raise ValueError(f"unknown profile {profile!r}, choose one of: {allowed}")


def _check_parameters(chosen: Sequence[Path]) -> None:
    """Refuse a notebook without `PARAMETERS`: papermill only warns, and runs it with its own."""
    for path in chosen:
        declared = papermill.inspect_notebook(path)
        missing = [name for name in PARAMETERS if name not in declared]
        if missing:
            has = ", ".join(declared) or "none"
            raise ValueError(f"{path.name} has no parameter {' and '.join(missing)}; it has: {has}")


def _jobs() -> int:
    """Return how many untimed notebooks run at a time."""
    return min(JOBS, cores())


def _begin(marker: Path) -> str:
    """Note that a run begins.

    Returns:
        When the interrupted run began that this one continues; empty where there is none.
    """
    if not marker.exists():
        write_text(marker, now())
        return ""
    since = marker.read_text(encoding="utf-8")
    how = f"to start anew, delete {marker}"
    print(f"continuing the run of {since}, which did not come to its end; {how}")
    return since


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One call of `reproduce`."""

    profile: str

    source: str

    # Folder of results.
    target: Path

    ledger: Ledger

    # Notebooks that finished before, unchanged, are left as they are.
    continued: bool

    # Only those count that finished after this date and time; empty: all.
    since: str

    # How much is done, and how long the rest may take.
    forecast: Forecast

    # Set once the run is to end before its end.
    stopped: threading.Event = field(default_factory=threading.Event)

    def run_all(self, chosen: Sequence[Path], jobs: int) -> None:
        """Run the untimed notebooks, ``jobs`` at a time and the longest first, then the rest.

        They run in threads, so that this one is free to be interrupted: then it ends the kernels.
        """
        lanes = {path: _lane(path) for path in chosen}
        untimed = sorted(
            (path for path in chosen if lanes[path]),
            key=lambda path: (lanes[path], path),
        )
        timed = [path for path in chosen if not lanes[path]]

        with tqdm(total=len(chosen), unit="notebook", disable=None) as bar:

            def work(path: Path) -> None:
                self.run_one(path)
                bar.update()

            in_threads(jobs, work, untimed, self.stopped)
            in_threads(1, work, timed, self.stopped)

    def run_one(self, path: Path) -> None:
        """Run a notebook and write its entry, unless it need not run again."""
        if self.stopped.is_set():
            return
        code = fingerprint(path, self.source)
        if self.continued and self._is_finished(path, code):
            self.forecast.finish(path.stem)
            tqdm.write(f"{path.stem} finished before, left as it is; {self.forecast.line()}")
            return

        tqdm.write(f"\n{path.stem} begins; {self.forecast.line()}")
        entry = run_notebook(path, self.target, self.profile, self.source)
        if self.stopped.is_set():
            # half of it must not pass for the whole
            (self.target / "notebooks" / path.name).unlink(missing_ok=True)
            return
        entry["source"] = code
        self.ledger.add(entry)
        self.forecast.finish(path.stem)
        took = f"{path.stem} {entry['status']} in {entry['seconds']:.0f} s"
        tqdm.write(f"{took}; {self.forecast.line()}")

    def _is_finished(self, path: Path, code: str) -> bool:
        """Say whether a notebook need not run again.

        The report always does, since it reads what the others left.
        """
        entry = self.ledger.entries.get(path.stem)
        if entry is None or entry["status"] != "succeeded":
            return False
        if entry.get("source") != code or entry["finished"] < self.since:
            return False
        if path.stem.startswith("99"):
            return False
        return (self.target / "notebooks" / path.name).exists()


def _lane(path: Path) -> str:
    """Return "1" or "2" for a notebook that may run beside others, "" for the rest.

    The longest are in 1.
    """
    notebook = nbformat.read(path, as_version=4)
    return str(notebook.metadata.get("hetlib", {}).get("untimed", ""))


def _report(entries: Sequence[Entry], index: Path) -> int:
    """Print what failed and where the page is; return the exit status."""
    failed = [entry for entry in entries if entry["status"] == "failed"]
    for entry in failed:
        print(f"FAILED {entry['name']}, cell {entry['cell']}: {entry['error']}", file=sys.stderr)
    succeeded = len(entries) - len(failed)
    print(f"{succeeded} of {len(entries)} notebooks succeeded; see {index}")
    return 1 if failed else 0


def _report_stop(run: _Run, index: Path, stop: BaseException) -> int:
    """Print what is kept of a run that was stopped; return the exit status."""
    print(
        f"stopped by {signal_of(stop).name}: {run.forecast.line()}; what is finished is kept, "
        f"see {index}. The same command goes on.",
        file=sys.stderr,
        flush=True,
    )
    return status_of(stop)
