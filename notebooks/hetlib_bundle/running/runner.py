"""Run the notebooks as one bundle: parameters checked first, failures kept, one page at the end."""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
from tqdm import tqdm

from hetlib.files import write_text
from hetlib_bundle.kept.source import resolve, results_folder
from hetlib_bundle.paths import NOTEBOOKS, RESULTS
from hetlib_bundle.running import page
from hetlib_bundle.running.execution import CELL_SECONDS, run_notebook
from hetlib_bundle.running.fingerprints import fingerprint
from hetlib_bundle.running.ledger import Entry, Ledger, now

# Parameters that every notebook has.
PARAMETERS = ("profile", "source")

# What lies in a folder of results while a run of all notebooks has not come to its end.
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
    call does not run stay. A run of all notebooks that was interrupted is continued by the next.

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
        The exit status: 1 where a notebook failed, else 0.

    Raises:
        ValueError: A wrong profile, source or notebook, or a notebook without these two parameters;
            before any runs.
    """
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
    print(f"{asked}, results in {target}", flush=True)

    since = ""
    if whole and not resume:
        since = _begin(target / MARKER)
    continued = resume or since != ""
    ledger = Ledger(target / "bundle.json", names, timed=whole and not continued)
    run = _Run(
        profile=profile,
        source=source,
        target=target,
        ledger=ledger,
        continued=continued,
        since=since,
    )
    run.run_all(chosen, jobs or _jobs())
    if whole:
        (target / MARKER).unlink(missing_ok=True)

    html = page.render(target, ledger.read(), notebooks)
    index = write_text(target / "index.html", html)
    return _report([ledger.entries[path.stem] for path in chosen], index)


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
    return min(JOBS, os.cpu_count() or 1)


def _begin(marker: Path) -> str:
    """Note that a run of all notebooks begins.

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

    def run_all(self, chosen: Sequence[Path], jobs: int) -> None:
        """Run the untimed notebooks, ``jobs`` at a time and the longest first, then the rest."""
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

            with ThreadPoolExecutor(jobs) as pool:
                list(pool.map(work, untimed))
            for path in timed:
                work(path)

    def run_one(self, path: Path) -> None:
        """Run a notebook and write its entry, unless it need not run again."""
        code = fingerprint(path, self.source)
        if self.continued and self._is_finished(path, code):
            tqdm.write(f"{path.stem} finished before, left as it is")
            return

        tqdm.write(f"\n{path.stem}")
        entry = run_notebook(path, self.target, self.profile, self.source)
        entry["source"] = code
        tqdm.write(f"{path.stem} {entry['status']} in {entry['seconds']:.0f} s")
        self.ledger.add(entry)

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
