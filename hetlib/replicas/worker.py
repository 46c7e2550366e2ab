"""What runs in a worker process: join the others, do one job after another."""

import contextlib
import ctypes
import os
import signal
import traceback
from datetime import timedelta
from multiprocessing.connection import Connection

import torch
import torch.distributed as dist

from hetlib.replicas.platform import Replica
from hetlib.replicas.surroundings import keep_to_this_machine

# Parameters of glibc's `mallopt`, from malloc.h, and what they are set to.
_M_MMAP_THRESHOLD = -3
_M_TRIM_THRESHOLD = -1
_LARGEST_THRESHOLD = 32 << 20  # bytes: glibc takes no larger one for the first
_NEVER = 2**31 - 1  # bytes at the end of the heap that are given back

_pipe: Connection | None = None  # to the process that started this one, if it is a worker


def report(line: str) -> None:
    """Print a line where the job was started, be it from a replica or in this process.

    Args:
        line: What to print, without its end.
    """
    if _pipe is None:
        print(line, flush=True)
    else:
        _pipe.send(("print", line))


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


def serve(
    *,
    rank: int,
    replicas: tuple[Replica, ...],
    rendezvous: str,
    timeout: float,
    pipe: Connection,
) -> None:
    """Be a replica: do the jobs that come through the pipe, until None comes or the caller is gone.

    A job is a function and its arguments. The answer is ``("done", result)``, after any number of
    ``("print", line)``; or ``("failed", traceback)``, and the process ends.

    Args:
        rank: Number of this replica.
        replicas: All of the platform.
        rendezvous: Address at which they meet, ``file://...``.
        timeout: Seconds for a collective.
        pipe: To the caller.
    """
    global _pipe  # noqa: PLW0603
    _pipe = pipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller stops its replicas itself
    keep_freed_memory()  # here alone: a notebook would hold 0.1 GB more between its runs
    try:
        _use_device(replicas[rank])
        keep_to_this_machine()
        dist.init_process_group(
            _backend(replicas),
            rendezvous,
            timedelta(seconds=timeout),
            world_size=len(replicas),
            rank=rank,
        )
        _do_jobs(rank, pipe)
        dist.destroy_process_group()
    except (EOFError, BrokenPipeError):
        os._exit(0)  # the caller is gone
    except BaseException:
        pipe.send(("failed", f"failed:\n{traceback.format_exc()}"))
        os._exit(0)  # a process group whose peers are gone may not end in order


def _use_device(replica: Replica) -> None:
    torch.set_num_threads(replica.threads)
    if replica.device.startswith("cuda"):
        torch.cuda.set_device(replica.place)


def _backend(replicas: tuple[Replica, ...]) -> str:
    """Return NCCL where each replica has a GPU of its own, else gloo, which takes all mixtures."""
    devices = {replica.place for replica in replicas}
    each_its_own = len(devices) == len(replicas)
    if each_its_own and "cpu" not in devices:
        return "nccl"
    return "gloo"


def _do_jobs(rank: int, pipe: Connection) -> None:
    while True:
        job = pipe.recv()
        if job is None:
            return
        function, arguments = job
        pipe.send(("done", function(rank, *arguments)))
