"""What runs in a worker process: join the others, do one job after another."""

import contextlib
import ctypes
import os
import threading
import traceback
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from hetlib.replicas.caller import Caller, stand_alone
from hetlib.replicas.groups import backend_of
from hetlib.replicas.platform import Replica
from hetlib.replicas.surroundings import keep_to_this_machine

# Parameters of glibc's `mallopt`, from malloc.h, and what they are set to.
_M_MMAP_THRESHOLD = -3
_M_TRIM_THRESHOLD = -1
_LARGEST_THRESHOLD = 32 << 20  # bytes: glibc takes no larger one for the first
_NEVER = 2**31 - 1  # bytes at the end of the heap that are given back

# Sign of life: a worker gives so many within the time-out, and one in so many seconds at least.
_BEATS = 10
_LONGEST_BEAT = 2.0


class Start(NamedTuple):
    """What a worker is told as it starts.

    Attributes:
        rank: Number of this replica.
        replicas: All of the platform.
        rendezvous: Path of the file by which they meet.
        timeout: Seconds for a collective.
        pipe: To the caller.
        caller: Number of the caller's process.
        folder: The caller's temporary folder.
        forked: Whether a server that lives as long as the caller forks the worker.
    """

    rank: int
    replicas: tuple[Replica, ...]
    rendezvous: str
    timeout: float
    pipe: Connection
    caller: int
    folder: str
    forked: bool


class _HungUpError(Exception):
    """The caller does not listen any more."""


class _Line:
    """The line to the caller, which the threads of a worker share.

    Attributes:
        is_heard: Whether the caller listens: it does so during a job.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self.is_heard = True

    def send(self, kind: str, value: Any) -> None:
        """Send a message; the last one of a job is "done".

        Raises:
            _HungUpError: Nobody is there to read it.
        """
        message = ForkingPickler.dumps((kind, value))
        if kind == "done":
            self.is_heard = False
        try:
            with self._lock:
                self._pipe.send_bytes(message)
        except OSError as error:
            raise _HungUpError from error

    def beat(self) -> None:
        """Give a sign of life, during a job."""
        if self.is_heard:
            self.send("beat", None)

    def next_job(self) -> Any:
        """Wait for what to do.

        Raises:
            _HungUpError: Nobody will say.
        """
        try:
            message = self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise _HungUpError from error
        self.is_heard = True
        return ForkingPickler.loads(message)


_line: _Line | None = None  # to the process that started this one, if it is a worker


def is_worker() -> bool:
    """Say whether this process is a replica at work."""
    return _line is not None


def beat_seconds(timeout: float) -> float:
    """Return the seconds between two signs of life.

    Args:
        timeout: Seconds after which a worker that gives none is taken for one that stands still.
    """
    return min(timeout / _BEATS, _LONGEST_BEAT)


def show(line: str) -> None:
    """Print a line here, with ? for the letters that the output's encoding does not have.

    Args:
        line: What to print, without its end.
    """
    try:
        print(line, flush=True)
    except UnicodeEncodeError as error:  # names of classes and data sets are the reader's own
        print(line.encode(error.encoding, "replace").decode(error.encoding), flush=True)


def report(line: str) -> None:
    """Print a line where the job was started, be it from a replica or in this process.

    Args:
        line: What to print, without its end.
    """
    if _line is None:
        show(line)
    else:
        _line.send("print", line)


def keep_freed_memory() -> None:
    """Keep large blocks, which glibc gives back.

    Each step then pays page faults for all of them, up to 20 % of it. Without glibc, nothing is
    done.
    """
    # no such library, or one without the function
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
        library.mallopt(_M_TRIM_THRESHOLD, _NEVER)


def serve(start: Start) -> None:
    """Be a replica: do the jobs that come through the pipe, until None comes or the caller is gone.

    A job is a function and its arguments. The answer is ``("done", result)``, after any number of
    ``("print", line)``; or ``("failed", traceback)``, and the process ends. Meanwhile
    ``("beat", None)`` says that this process goes on, however long a step takes.

    Args:
        start: Who this worker is, and for whom it works.
    """
    global _line  # noqa: PLW0603
    stand_alone(die_with_parent=start.forked)
    caller = Caller(start.caller, start.folder)
    line = _Line(start.pipe)
    _line = line
    try:
        line.beat()
        caller.watch(beat_seconds(start.timeout), line.beat)
        keep_freed_memory()  # here alone: a notebook would hold 0.1 GB more between its runs
        _use_device(start.replicas[start.rank])
        keep_to_this_machine()
        # by its path: in an address, blanks and signs of it mean something else
        dist.init_process_group(
            backend_of(start.replicas, one_machine=True),
            store=dist.FileStore(start.rendezvous, len(start.replicas)),
            timeout=timedelta(seconds=start.timeout),
            world_size=len(start.replicas),
            rank=start.rank,
        )
        _do_jobs(start.rank, line)
        dist.destroy_process_group()
    except _HungUpError:
        caller.leave()
    except BaseException:
        with contextlib.suppress(_HungUpError):
            line.send("failed", f"failed:\n{traceback.format_exc()}")
        os._exit(0)  # a process group whose peers are gone may not end in order


def _use_device(replica: Replica) -> None:
    torch.set_num_threads(replica.threads)
    if replica.device.startswith("cuda"):
        torch.cuda.set_device(replica.place)


def _do_jobs(rank: int, line: _Line) -> None:
    while True:
        job = line.next_job()
        if job is None:
            return
        function, arguments = job
        line.send("done", function(rank, *arguments))
