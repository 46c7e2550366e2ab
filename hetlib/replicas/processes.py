"""Start, watch and stop replicas: warm worker processes that run one job after another."""

import contextlib
import multiprocessing as mp
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch

from hetlib.errors import ReplicaError
from hetlib.replicas.platform import Platform
from hetlib.replicas.worker import serve

# All that a worker needs before its first step; the first optimizer would import torch._dynamo.
_PRELOAD = ["torch._dynamo", "torch.nn.parallel.distributed", "hetlib.training.run"]
_TO_END = 10  # seconds for a process to end, when asked and again when killed
_TO_BE_REAPED = 5  # seconds until a process whose pipe has ended tells its exit code
_TO_DIE = 0.2  # seconds within which the one that died ends after its peers have complained


class _Event(NamedTuple):
    """What a worker said, or what was seen of it.

    Attributes:
        rank: Of the worker.
        kind: ``"print"`` a line, ``"done"`` with a result, ``"failed"`` or ``"died"`` and how.
        value: The line, the result, or how.
    """

    rank: int
    kind: str
    value: Any


class _Worker(NamedTuple):
    """A process, and the pipe by which it gets its jobs and answers."""

    process: BaseProcess
    pipe: Connection

    def receive(self, rank: int) -> _Event:
        """Return its next message; the end of its pipe, after a death, is one too."""
        try:
            kind, value = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(_TO_BE_REAPED)
            return _Event(rank, "died", _death(self.process.exitcode))
        return _Event(rank, kind, value)

    def ask_to_end(self) -> None:
        """Let it end after its job, if it still listens."""
        with contextlib.suppress(OSError):
            self.pipe.send(None)

    def end(self) -> None:
        """Wait for its end, kill it if it does not answer, and free what it held."""
        self.process.join(_TO_END)
        self.process.kill()
        self.process.join(_TO_END)
        self.pipe.close()


class Replicas(contextlib.AbstractContextManager["Replicas"]):
    """The replicas of a platform as processes of this machine.

    They start at the first job, stay warm between jobs, and are stopped by `close` or at the end of
    a ``with`` block. When one fails, the others are stopped at once and the next job starts fresh
    ones.

    Args:
        platform: The replicas, in the order of their ranks.
        timeout: Seconds after which a collective that not all replicas reach is an error.

    Raises:
        ValueError: A replica wants a GPU, and torch sees none.

    Example:
        >>> with hetlib.Replicas(hetlib.Platform.emulated([1, 4])) as replicas:
        ...     record = hetlib.train(hetlib.Experiment(), replicas)
    """

    rank: int | None = None  # one process leads all
    timed = True

    def __init__(self, platform: Platform, *, timeout: float = 60.0) -> None:
        _check_gpus(platform)
        self.platform = platform
        self.timeout = timeout
        self._workers: list[_Worker] = []
        self._folder = ""

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
        self._start()
        try:
            for worker in self._workers:
                worker.pipe.send((function, arguments))
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
                worker.process.kill()
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
        context = _context()
        self._folder = tempfile.mkdtemp(prefix="hetlib-")
        for rank in range(len(self.platform)):
            self._workers.append(self._start_worker(context, rank))

    def _start_worker(self, context: Any, rank: int) -> _Worker:
        here, there = context.Pipe()
        options = {
            "rank": rank,
            "replicas": self.platform.replicas,
            "rendezvous": Path(self._folder, "rendezvous").as_uri(),
            "timeout": self.timeout,
            "pipe": there,
        }
        process = context.Process(target=serve, kwargs=options, name=f"hetlib-{rank}", daemon=True)
        process.start()
        there.close()  # so that the worker's death ends the pipe
        return _Worker(process, here)

    def _results(self) -> list[Any]:
        """Wait for the result of every worker, and print what they report meanwhile."""
        results: dict[int, Any] = {}
        while len(results) < len(self._workers):
            for event in self._events():
                if event.kind == "print":
                    print(event.value, flush=True)
                elif event.kind == "done":
                    results[event.rank] = event.value
                else:
                    raise self._error(event)
        return [results[rank] for rank in sorted(results)]

    def _events(self) -> list[_Event]:
        """Wait for the next messages of the workers."""
        ready = wait([worker.pipe for worker in self._workers])
        events = []
        for rank, worker in enumerate(self._workers):
            if worker.pipe in ready:
                events.append(worker.receive(rank))
        # A replica that lost its peer complains too: name the one that died, not those that
        # noticed.
        if any(event.kind == "failed" for event in events):
            return self._deaths() or events
        return events

    def _deaths(self) -> list[_Event]:
        time.sleep(_TO_DIE)
        events = []
        for rank, worker in enumerate(self._workers):
            code = worker.process.exitcode
            if code:
                events.append(_Event(rank, "died", _death(code)))
        return events

    def _error(self, event: _Event) -> ReplicaError:
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


def _context() -> Any:
    """Return the way in which processes start here, a context of `multiprocessing`.

    A server that has imported torch once forks each worker from itself: faster, and they share its
    memory. Forking this process instead hangs once it has run a multi-threaded operation.
    """
    if sys.platform != "linux":
        return mp.get_context("spawn")
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


def _death(code: int | None) -> str:
    """Say how a process with this exit code died."""
    hint = ""
    if code is not None and code < 0:
        name = _signal_name(-code)
        how = f"was killed by {name}"
        if name == "SIGKILL":
            hint = " (often: out of memory)"
    else:
        how = f"ended with exit code {code}"
    return f"{how}{hint}; the other replicas were stopped."


def _signal_name(number: int) -> str:
    """Return its name where this system has one: Windows knows few signals, Linux more numbers."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
