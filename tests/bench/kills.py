"""Workers and their callers killed and stopped at seeded moments: what hangs, stays or is lost.

A try starts replicas, measures a plan, trains and evaluates, with records in a folder. It is told
apart by what its victim did at the moment: start, measure, train or evaluate. The workers are
those of this process; a caller is a script of its own. Afterwards the next run is undisturbed.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from hetlib.errors import ReplicaError
from hetlib.replicas.folder import own_folder
from hetlib.replicas.platform import Platform
from hetlib.replicas.processes import Replicas
from hetlib.training.records import RunRecord
from tests.bench import Row
from tests.bench._kills_jobs import answer, go_on, go_through
from tests.project import ROOT

KILLS = 100
STOPS = 5
SEED = 20_26

# Tries between two lines that say how far it is.
SHOWN = 10

# Seconds: the replicas' time-out, what a busy machine may add, and when nobody may be left.
TIMEOUT = 15.0
GRACE = 30.0
LEFT = 5.0

# Seconds that a busy machine may take to import torch for all.
TO_START = 240.0

# What a worker or its caller does, by the line that says so; a kill comes up to so many seconds
# later.
PHASES = {"start": 1.5, "measure": 2.0, "train": 1.0, "evaluate": 0.4}

CODE = """
import sys
from pathlib import Path
from tests.bench import _kills_jobs

if __name__ == "__main__":
    _kills_jobs.main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
"""


@dataclass(frozen=True)
class Try:
    """One disturbance.

    Attributes:
        victim: "worker" or "caller".
        phase: What is done at the moment.
        delay: Seconds into the phase.
        number: Signal.
        rank: Of the worker.
        runs: Trainings that the script makes.
    """

    victim: str
    phase: str
    delay: float
    number: signal.Signals
    rank: int
    runs: int = 1


@dataclass
class Outcome:
    """What came of a try."""

    hangs: bool = False
    orphans: int = 0
    folders: int = 0
    damaged: int = 0
    lost: int = 0
    named: bool | None = None
    again: bool = False
    hit: bool = False
    words: str = ""
    seconds: float = field(default=0.0)


def draw(count: int, stops: int, seed: int) -> list[Try]:
    """Return the tries of a seed, kills first: victims and phases in turn, moments at random."""
    generator = random.Random(seed)
    phases = list(PHASES)
    tries = []
    for index in range(count + stops):
        stop = index >= count
        phase = phases[index % len(phases)]
        tries.append(
            Try(
                victim="worker" if stop or (index // len(phases)) % 2 == 0 else "caller",
                phase=phase,
                delay=generator.uniform(0, PHASES[phase]),
                number=signal.SIGSTOP if stop else signal.SIGKILL,
                rank=generator.randrange(2),
            )
        )
    return tries


class Script:
    """The script at work, and what it says, line by line."""

    def __init__(self, store: Path, temporary: Path, runs: int) -> None:
        """Start it."""
        paths = [str(ROOT), str(ROOT / "notebooks"), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "TMPDIR": str(temporary),
            "OMP_NUM_THREADS": "1",
        }
        script = store / "script.py"
        script.write_text(CODE)
        self.errors = (store / "errors.txt").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(store), str(TIMEOUT), str(runs)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.lines: list[str] = []
        self.family: dict[int, psutil.Process] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def look(self) -> None:
        """Note the processes that it has started."""
        try:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                self.family.setdefault(child.pid, child)
        except psutil.Error:
            return

    def wait_for(self, word: str, seconds: float) -> bool:
        """Wait until it says a word; False where it ends before."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            if any(line.startswith(word) for line in self.lines):
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.02)
        return False

    def alive(self) -> int:
        """Return how many of the processes that it has started are still there."""
        count = 0
        for child in self.family.values():
            try:
                count += child.status() != psutil.STATUS_ZOMBIE
            except psutil.Error:
                continue
        return count

    def last_words(self) -> str:
        """Return the last line of its errors; empty for none."""
        self.errors.seek(0)
        return self.errors.read().strip().rpartition("\n")[2]

    def end(self) -> None:
        """Kill what is left of it."""
        for process in [self.process, *self.family.values()]:
            try:
                process.kill()
            except (psutil.Error, OSError):
                continue
        self.process.wait()
        self.errors.close()


def attempt(trial: Try, folder: Path) -> Outcome:
    """Make one try, and the undisturbed run after it.

    Args:
        trial: What is done to whom, and when.
        folder: An empty one; its name is short, as sockets lie in it.
    """
    store = folder / "s"
    temporary = folder / "t"
    store.mkdir()
    temporary.mkdir()
    if trial.victim == "worker":
        return attempt_worker(trial, store)
    return attempt_caller(trial, store, temporary)


class Disturber:
    """Kills or stops a worker of some replicas at its moment."""

    def __init__(self, trial: Try, replicas: Replicas) -> None:
        """Wait for the phase."""
        self.trial = trial
        self.replicas = replicas
        self.saved: list[str] = []
        self.pids: list[int] = []
        self.hit_at = 0.0
        self._threads: list[threading.Thread] = []

    def begin(self, line: str) -> None:
        """Note what begins or is saved."""
        if line.startswith("saved"):
            self.saved.append(line.split()[1])
        if line == self.trial.phase and not self._threads:
            self._threads.append(threading.Thread(target=self._strike, daemon=True))
            self._threads[0].start()

    def wait(self) -> None:
        """Wait until the moment is over, so that it does not come in the next run."""
        for thread in self._threads:
            thread.join()

    def _strike(self) -> None:
        time.sleep(self.trial.delay)
        end = time.monotonic() + TO_START
        while time.monotonic() < end:
            workers = list(self.replicas._workers)
            if len(workers) > self.trial.rank:
                self.pids = [worker.process.pid or 0 for worker in workers]
                self.hit_at = time.monotonic()
                os.kill(self.pids[self.trial.rank], self.trial.number)
                return
            time.sleep(0.01)


def _team_folders() -> set[Path]:
    """Return the folders of the workers of this process; other replicas may be at work, too."""
    return set(own_folder().glob("team-*"))


def attempt_worker(trial: Try, store: Path) -> Outcome:
    """Disturb a worker of this process, and look at what this process is told."""
    outcome = Outcome()
    before = _team_folders()
    replicas = Replicas(Platform.emulated([1, 1]), timeout=TIMEOUT)
    disturber = Disturber(trial, replicas)
    try:
        go_through(replicas, store, disturber.begin, trial.runs)
        disturber.wait()
        replicas.run(answer)  # where the moment was the end of the last job
    except ReplicaError as error:
        outcome.words = str(error)
        outcome.named = f"replica {trial.rank} of 2" in outcome.words
    outcome.hit = disturber.hit_at > 0
    outcome.seconds = time.monotonic() - disturber.hit_at
    outcome.hangs = outcome.hit and outcome.seconds > TIMEOUT + GRACE
    end = time.monotonic() + LEFT
    while any(map(psutil.pid_exists, disturber.pids)) and time.monotonic() < end:
        if outcome.named is None:  # the replicas were idle, and started anew
            break
        time.sleep(0.05)
    if outcome.named is not None:
        outcome.orphans = sum(map(psutil.pid_exists, disturber.pids))
        # the process goes on, and its folder with it; that of its workers does not
        outcome.folders = len(_team_folders() - before)
    look_at_records(outcome, store, disturber.saved)
    try:
        with replicas:
            go_on(replicas, store)
        outcome.again = True
    except ReplicaError as error:
        outcome.words += f" AGAIN: {error}"
    return outcome


def attempt_caller(trial: Try, store: Path, temporary: Path) -> Outcome:
    """Disturb a script that has workers, and look at what is left of it."""
    outcome = Outcome()
    script = Script(store, temporary, trial.runs)
    if script.wait_for(trial.phase, TO_START):
        time.sleep(trial.delay)
        script.look()
        outcome.hit = script.process.poll() is None
        script.process.send_signal(trial.number)
    begin = time.monotonic()
    try:
        script.process.wait(TIMEOUT + GRACE)
    except subprocess.TimeoutExpired:
        outcome.hangs = True
    while script.alive() and time.monotonic() - begin < LEFT:
        time.sleep(0.05)
    outcome.seconds = time.monotonic() - begin
    outcome.orphans = script.alive()
    outcome.words = script.last_words()
    outcome.folders = len([*temporary.glob("hetlib-*"), *temporary.glob("pymp-*")])
    saved = [line.split()[1] for line in script.lines if line.startswith("saved")]
    script.end()
    look_at_records(outcome, store, saved)
    outcome.again = goes_on(store, temporary, trial)
    return outcome


def look_at_records(outcome: Outcome, store: Path, saved: Sequence[str]) -> None:
    """Count the records that are damaged, and those that were saved and are not there."""
    records = {path.stem: RunRecord.load(path) for path in store.glob("[0-9a-f]*.json")}
    outcome.damaged = sum(record is None for record in records.values())
    outcome.lost = sum(name not in records for name in saved)


def goes_on(store: Path, temporary: Path, trial: Try) -> bool:
    """Say whether the same script, undisturbed, comes to its end with all records."""
    script = Script(store, temporary, trial.runs)
    try:
        status = script.process.wait(TO_START)
    except subprocess.TimeoutExpired:
        status = -1
    script.end()
    records = [RunRecord.load(path) for path in store.glob("[0-9a-f]*.json")]
    left = list(temporary.glob("hetlib-*"))
    return status == 0 and not left and len(records) >= trial.runs and None not in records


# What must not come of a try, and how it is seen; ``named`` is None where no worker was missed.
WRONG: dict[str, Callable[[Outcome], int]] = {
    "hangs beyond the time-out": lambda outcome: outcome.hangs,
    "tries with processes left after 5 s": lambda outcome: outcome.orphans > 0,
    "tries with folders left": lambda outcome: outcome.folders > 0,
    "records lost": lambda outcome: outcome.lost,
    "records damaged": lambda outcome: outcome.damaged,
    "errors that do not name the replica": lambda outcome: outcome.named is False,
    "next runs that fail": lambda outcome: not outcome.again,
}


def count(outcomes: Sequence[tuple[Try, Outcome]]) -> list[Row]:
    """Return the figures of some tries."""
    hit = [(trial, outcome) for trial, outcome in outcomes if outcome.hit]
    rows = []
    for name, is_wrong in WRONG.items():
        value = sum(is_wrong(outcome) for _, outcome in hit)
        rows.append(Row(name, value, value, value, len(hit), goal="0", holds=value == 0))
    for (victim, phase), tries in sorted(Counter((t.victim, t.phase) for t, _ in hit).items()):
        rows.append(Row(f"{victim} hit at {phase}", tries, tries, tries, tries))
    return rows


def tell(trial: Try, outcome: Outcome) -> None:
    """Print a try that did not go as it should."""
    fine = not outcome.hangs and not outcome.orphans and not outcome.folders and outcome.again
    if outcome.hit and fine and outcome.named is not False:
        return
    print(json.dumps([vars(trial), vars(outcome)], default=str), flush=True)


def run(kills: int = KILLS, stops: int = STOPS, seed: int = SEED) -> list[Row]:
    """Return the counts over all tries.

    Args:
        kills: Tries with SIGKILL.
        stops: Tries with SIGSTOP.
        seed: Of the moments.
    """
    outcomes = []
    tries = draw(kills, stops, seed)
    for number, trial in enumerate(tries, 1):
        with tempfile.TemporaryDirectory(prefix="k", dir="/tmp") as folder:
            outcome = attempt(trial, Path(folder))
        tell(trial, outcome)
        outcomes.append((trial, outcome))
        if number % SHOWN == 0:
            print(f"{number} of {len(tries)}", flush=True)
    return count(outcomes)
