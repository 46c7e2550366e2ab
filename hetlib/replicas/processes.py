"""Start, watch and stop replicas: warm worker processes that run one job after another."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from hetlib.errors import ReplicaError
from hetlib.inputs import number
from hetlib.replicas import starting
from hetlib.replicas.folder import own_folder
from hetlib.replicas.member import Event, Worker
from hetlib.replicas.platform import Platform, require_platform
from hetlib.replicas.worker import Start, beat_seconds, serve, show

_TO_DIE = 0.2  # seconds within which the one that died ends after its peers have complained


class Replicas(contextlib.AbstractContextManager["Replicas"]):
    """The replicas of a platform as processes of this machine.

    They start at the first job, stay warm between jobs, and are stopped by `close` or at the end of
    a ``with`` block. When one fails, the others are stopped at once and the next job starts fresh
    ones.

    Args:
        platform: The replicas, in the order of their ranks.
        timeout: Seconds after which a collective that not all replicas reach is an error, and so is
            a replica that gives no sign of life. A step may take longer.

    Raises:
        ValueError: An argument is not allowed, or a replica wants a GPU, and torch sees none.

    Example:
        >>> with hetlib.Replicas(hetlib.Platform.emulated([1, 4])) as replicas:
        ...     record = hetlib.train(hetlib.Experiment(), replicas)
    """

    rank: int | None = None  # one process leads all
    timed = True

    def __init__(self, platform: Platform, *, timeout: float = 60.0) -> None:
        require_platform(platform)
        self.timeout = number("timeout", timeout, above=0)
        _check_gpus(platform)
        self.platform = platform
        self._workers: list[Worker] = []
        self._folder = ""
        self._looked = 0.0

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call ``function(rank, *arguments)`` in every replica.

        A process group over all replicas exists meanwhile. What the function prints through
        `report` appears here.

        Args:
            function: Of a module, which the worker processes import.
            arguments: The same for all; they are pickled, as the results are.

        Returns:
            The results by rank.

        Raises:
            ReplicaError: A replica raised, died or did not answer.
            ValueError: The function is one of a script or notebook cell.
        """
        if getattr(function, "__module__", "") == "__main__":
            raise ValueError(
                f"a new process cannot import {function.__name__!r} of __main__; "
                "move it to a module."
            )
        try:
            self._start()
            for worker in self._workers:
                worker.begin(function, arguments)
            return self._results()
        except BaseException:
            self.close(force=True)
            raise

    def about(self) -> dict[str, Any]:
        """Return what a record says of the machines beside `hetlib.environment.environment`."""
        return {"contended": self.platform.contended}

    def close(self, *, force: bool = False) -> None:
        """Stop the replicas; a later job starts them again.

        Args:
            force: In the middle of a job.
        """
        for worker in self._workers:
            if force:
                worker.kill()
            else:
                worker.ask_to_end()
        for worker in self._workers:
            worker.end()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._workers = []
        self._folder = ""

    def _start(self) -> None:
        """Start a worker for each replica, unless all are there."""
        if self._workers and all(worker.process.is_alive() for worker in self._workers):
            return
        self.close(force=True)
        starting.refuse_without_guard()
        context = starting.way_to_start()
        self._folder = tempfile.mkdtemp(prefix="team-", dir=own_folder())
        with starting.importable_script():
            for rank in range(len(self.platform)):
                self._workers.append(self._start_worker(context, rank))

    def _start_worker(self, context: Any, rank: int) -> Worker:
        here, there = context.Pipe()
        start = Start(
            rank=rank,
            replicas=self.platform.replicas,
            rendezvous=str(Path(self._folder, "rendezvous")),
            timeout=self.timeout,
            pipe=there,
            caller=os.getpid(),
            folder=str(own_folder()),
            forked=context.get_start_method() == "forkserver",
        )
        process = context.Process(
            target=serve, args=(start,), name=f"{starting.NAME}{rank}", daemon=True
        )
        process.start()
        there.close()  # so that the worker's death ends the pipe
        return Worker(rank, process, here, self.timeout)

    def _results(self) -> list[Any]:
        """Wait for the result of every worker, and print what they report meanwhile."""
        results: dict[int, Any] = {}
        self._looked = time.monotonic()
        while len(results) < len(self._workers):
            for event in self._events(results):
                if event.kind == "print":
                    show(event.value)
                elif event.kind == "done":
                    results[event.rank] = event.value
                elif event.kind != "beat":
                    raise self._error(event)
        return [results[rank] for rank in sorted(results)]

    def _events(self, finished: Collection[int]) -> list[Event]:
        """Wait for the next messages of the workers, and for those that give none.

        Args:
            finished: Ranks of those that have nothing more to say.
        """
        at_work = [worker for worker in self._workers if worker.rank not in finished]
        self._wait(at_work)
        events = []
        for worker in self._workers:
            event = worker.next_event()
            if event is not None:
                events.append(event)
        # A replica that lost its peer complains too: name the one that died or stands still, not
        # those that noticed.
        if any(event.kind == "failed" for event in events):
            return self._culprits() or events
        for worker in at_work:
            event = worker.silence()
            if event is not None:
                events.append(event)
        return events

    def _wait(self, at_work: Sequence[Worker]) -> None:
        """Wait until a worker says something or ends, for a beat at most."""
        beat = beat_seconds(self.timeout)
        ends: list[Connection | int] = []
        for worker in self._workers:
            ends += [worker.pipe, worker.process.sentinel]
        wait(ends, beat)
        now = time.monotonic()
        away = now - self._looked - beat
        self._looked = now
        if away > beat:  # this process itself stood still or printed: nobody was listened to
            for worker in at_work:
                worker.heard += away

    def _culprits(self) -> list[Event]:
        """Return who died, or else who stands still."""
        time.sleep(_TO_DIE)
        deaths = [worker.death() for worker in self._workers if worker.process.exitcode]
        stopped = [worker.standstill() for worker in self._workers if worker.is_stopped()]
        return deaths or stopped

    def _error(self, event: Event) -> ReplicaError:
        name = self.platform.replicas[event.rank].name
        return ReplicaError(f"replica {event.rank} of {len(self.platform)} ({name}) {event.value}")


def _check_gpus(platform: Platform) -> None:
    for rank, replica in enumerate(platform.replicas):
        if replica.device == "cpu":
            continue
        if not torch.cuda.is_available():
            raise ValueError(
                f"replica {rank} wants {replica.device!r}, but torch sees no GPU; use device='cpu'."
            )
        there_are = torch.cuda.device_count()
        number = torch.device(replica.place).index
        if number >= there_are:
            raise ValueError(
                f"replica {rank} wants {replica.device!r}, but torch sees {there_are} GPUs, "
                "numbered from 0; use one of them."
            )
