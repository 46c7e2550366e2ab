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
from pathlib import Path
from typing import Any

import torch

from hetlib.errors import ReplicaError
from hetlib.replicas.platform import Platform
from hetlib.replicas.worker import serve

# All that a worker needs before its first step; the first optimizer would import torch._dynamo.
_PRELOAD = ["torch._dynamo", "torch.nn.parallel.distributed", "hetlib.training.run"]


class Replicas(contextlib.AbstractContextManager["Replicas"]):
    """The replicas of a platform as processes of this machine.

    They start at the first job, stay warm between jobs, and are stopped by `close` or at the end of
    a ``with`` block. When one fails, the others are stopped at once and the next job starts fresh
    ones. ``timeout`` is in seconds, after which a collective that not all replicas reach is an
    error.
    """

    rank: int | None = None  # one process leads all
    timed = True

    def __init__(self, platform: Platform, *, timeout: float = 60.0) -> None:
        for rank, replica in enumerate(platform.replicas):
            if replica.device != "cpu" and not torch.cuda.is_available():
                raise ValueError(
                    f"replica {rank} wants {replica.device!r}, but torch sees no GPU; use device='cpu'."
                )
        self.platform, self.timeout = platform, timeout
        self._workers: list[tuple[Any, Connection]] = []
        self._folder = ""

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call ``function(rank, *arguments)`` in every replica and return the results by rank.

        A process group over all replicas exists meanwhile. What the function prints through
        `report` appears here. Raises `ReplicaError` when a replica raises, dies or does not answer.
        """
        if getattr(function, "__module__", "") == "__main__":
            raise ValueError(
                f"a new process cannot import {function.__name__!r} of __main__; move it to a module."
            )
        self._start()
        results: dict[int, Any] = {}
        try:
            for _, pipe in self._workers:
                pipe.send((function, arguments))
            while len(results) < len(self._workers):
                for rank, kind, value in self._events():
                    if kind == "print":
                        print(value, flush=True)
                    elif kind == "done":
                        results[rank] = value
                    else:
                        name = self.platform.replicas[rank].name
                        raise ReplicaError(
                            f"replica {rank} of {len(self.platform)} ({name}) {value}"
                        )
        except BaseException:
            self.close(force=True)
            raise
        return [results[rank] for rank in sorted(results)]

    def about(self) -> dict[str, Any]:
        """Return what a record says of the machines beside `hetlib.environment.environment`."""
        return {"contended": self.platform.contended}

    def close(self, *, force: bool = False) -> None:
        """Stop the replicas, with ``force`` in the middle of a job; a later job starts them again."""
        for process, pipe in self._workers:
            with contextlib.suppress(OSError):
                process.kill() if force else pipe.send(None)
        for process, pipe in self._workers:
            process.join(10)
            process.kill()  # one that does not answer
            process.join(10)
            pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._workers, self._folder = [], ""

    def _start(self) -> None:
        if self._workers and all(process.is_alive() for process, _ in self._workers):
            return
        self.close(force=True)
        # A server that has imported torch once forks each worker from itself: faster, and they
        # share its memory. Forking this process instead hangs once it has run a multi-threaded
        # operation.
        context: Any = mp.get_context("forkserver" if sys.platform == "linux" else "spawn")
        context.set_forkserver_preload(_PRELOAD)
        self._folder = tempfile.mkdtemp(prefix="hetlib-")
        for rank in range(len(self.platform)):
            here, there = context.Pipe()
            arguments = (
                rank,
                self.platform.replicas,
                Path(self._folder, "rendezvous").as_uri(),
                self.timeout,
                there,
            )
            process = context.Process(
                target=serve, args=arguments, name=f"hetlib-{rank}", daemon=True
            )
            process.start()
            there.close()
            self._workers.append((process, here))

    def _events(self) -> list[tuple[int, str, Any]]:
        """Wait for the next messages; the end of a pipe, whose worker died, is a message too."""
        events, ready = [], wait([pipe for _, pipe in self._workers])
        for rank, (process, pipe) in enumerate(self._workers):
            if pipe in ready:
                try:
                    events.append((rank, *pipe.recv()))
                except (EOFError, OSError):
                    process.join(5)
                    events.append((rank, "died", _death(process.exitcode)))
        # A replica that lost its peer complains too: name the one that died, not those that
        # noticed.
        if any(kind == "failed" for _, kind, _ in events):
            time.sleep(0.2)
            codes = [process.exitcode for process, _ in self._workers]
            return [
                (rank, "died", _death(code)) for rank, code in enumerate(codes) if code
            ] or events
        return events


def _death(code: int | None) -> str:
    how = (
        f"was killed by {signal.Signals(-code).name}"
        if code and code < 0
        else f"ended with exit code {code}"
    )
    hint = " (often: out of memory)" if code == -signal.SIGKILL else ""
    return f"{how}{hint}; the other replicas were stopped."
