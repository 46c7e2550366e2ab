"""Is the plan as fast as the best of a sweep where a replica is truly slow?

An emulated replica waits after each computation. A truly slow one gets its processor in bursts:
here the second replica shares a core with a process that always computes, at a lower priority. The
first one has the other core to itself.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import hetlib
from tests.bench import Row
from tests.bench.speedup import CASES, rows_of

# Cores of the two replicas.
CORES = (0, 1)

# Nice value of the slow replica, and how much slower about that makes it: weights of the scheduler
# are 1024 at 0, 526 at 3 and 272 at 6.
PRIORITIES = {0: 2.0, 3: 3.0, 6: 5.0}

SPIN = "while True: pass"


def to_core(process: int, core: int, nice: int) -> None:
    """Bind all threads of a process to a core, at a priority."""
    for entry in Path(f"/proc/{process}/task").iterdir():
        thread = int(entry.name)
        os.sched_setaffinity(thread, {core})
        os.setpriority(os.PRIO_PROCESS, thread, nice)


def take_core(rank: int, nice: int) -> None:
    """Bind this replica to its core; the second one has the priority."""
    to_core(os.getpid(), CORES[rank], nice if rank == 1 else 0)


@contextmanager
def spinning(core: int) -> Iterator[None]:
    """Let a process compute on a core all the time."""
    with subprocess.Popen([sys.executable, "-c", SPIN]) as process:
        try:
            to_core(process.pid, core, 0)
            yield
        finally:
            process.kill()


def run() -> list[Row]:
    """Return what the plan is over other splits, for each priority; needs Linux and two cores."""
    rows = []
    platform = hetlib.Platform.emulated([1, 1])
    for nice, slowdown in PRIORITIES.items():
        # a priority cannot be raised again without a right, so each has workers of its own
        with hetlib.Replicas(platform) as replicas, spinning(CORES[1]):
            replicas.run(take_core, nice)
            over_best, over_alone, _ = rows_of(replicas, CASES[0], slowdown)
            for row in (over_best, over_alone):
                rows.append(replace(row, name=f"truly slow, nice {nice}: {row.name}"))
    return rows
