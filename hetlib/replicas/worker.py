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

_pipe: Connection | None = None


def report(line: str) -> None:
    """Print a line where the job was started, be it from a replica or in this process."""
    print(line, flush=True) if _pipe is None else _pipe.send(("print", line))


def keep_freed_memory() -> None:
    """Keep large blocks, which glibc gives back: each step then pays page faults for all of them, up to 20 % of it."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
        for threshold, size in ((-3, 32 << 20), (-1, 2**31 - 1)):
            ctypes.CDLL("libc.so.6").mallopt(threshold, size)


def serve(
    rank: int, replicas: tuple[Replica, ...], rendezvous: str, timeout: float, pipe: Connection
) -> None:
    global _pipe  # noqa: PLW0603
    _pipe = pipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller stops its replicas itself
    keep_freed_memory()  # here alone: a notebook would hold 0.1 GB more between its runs
    try:
        torch.set_num_threads(replicas[rank].threads)
        if replicas[rank].device.startswith("cuda"):
            torch.cuda.set_device(replicas[rank].device)
        devices = {replica.device for replica in replicas}
        backend = "nccl" if len(devices) == len(replicas) and "cpu" not in devices else "gloo"
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        dist.init_process_group(
            backend, rendezvous, timedelta(seconds=timeout), world_size=len(replicas), rank=rank
        )
        while (job := pipe.recv()) is not None:
            function, arguments = job
            pipe.send(("done", function(rank, *arguments)))
        dist.destroy_process_group()
    except (EOFError, BrokenPipeError):
        os._exit(0)  # the caller is gone
    except BaseException:
        pipe.send(("failed", f"failed:\n{traceback.format_exc()}"))
        os._exit(0)  # a process group whose peers are gone may not end in order
