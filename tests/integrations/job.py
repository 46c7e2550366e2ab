"""Processes as torchrun starts them: for frameworks that make the process group themselves."""

import contextlib
import faulthandler
import gc
import multiprocessing as mp
import os
import pickle
import socket
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

import torch.distributed as dist

from hetlib.balanced.forking import REST

# Seconds; the imports of the largest framework take ten on a busy machine of two cores.
PATIENCE = 240
# Process groups that one job can make, one after the other.
PORTS = 6

_ports: list[int] = []
_environment: dict[str, str] = {}


def run(function: Callable[..., Any], *arguments: Any, replicas: int = 2) -> list[Any]:
    """Call ``function(rank, *arguments)`` in new processes and return the results by rank."""
    context = mp.get_context("spawn")
    ports = _free_ports()
    processes = []
    pipes = []
    for rank in range(replicas):
        here, there = context.Pipe()
        process = context.Process(
            target=_serve,
            args=(there, rank, replicas, ports, function, arguments),
        )
        process.start()
        there.close()
        processes.append(process)
        pipes.append(here)
    try:
        return _results(pipes)
    finally:
        for process in processes:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()


def rest_before_forks() -> None:
    """Do for all loaders what BalancedLoader does for itself: else a worker may hang."""
    os.register_at_fork(before=lambda: time.sleep(REST))


def meet_elsewhere() -> None:
    """Let the next process group meet at another port: the last one's may linger."""
    if dist.is_initialized():
        dist.destroy_process_group()
    _ports.append(_ports.pop(0))
    _environment["MASTER_PORT"] = str(_ports[0])
    # all of it, as a trainer may have tidied up
    os.environ.update(_environment)


def _free_ports() -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(PORTS)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _results(pipes: list[Connection]) -> list[Any]:
    """Return the processes' results by rank, or raise what failed first."""
    results = {}
    until = time.monotonic() + PATIENCE
    while len(results) < len(pipes):
        waiting = [pipe for pipe in pipes if pipe not in results]
        ready = wait(waiting, until - time.monotonic())
        if not ready:
            raise TimeoutError(f"{len(waiting)} processes gave no result within {PATIENCE} s")
        for pipe in ready:
            good, value = pickle.loads(pipe.recv_bytes())
            if not good:
                raise RuntimeError(f"process {pipes.index(pipe)} failed:\n{value}")
            results[pipe] = value
    return [results[pipe] for pipe in pipes]


def _serve(
    pipe: Connection,
    rank: int,
    replicas: int,
    ports: list[int],
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    _ports[:] = ports
    _environment.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        NODE_RANK="0",
        WORLD_SIZE=str(replicas),
        LOCAL_WORLD_SIZE=str(replicas),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(ports[0]),
        CUDA_VISIBLE_DEVICES="",
        GLOO_SOCKET_IFNAME="lo",
        OMP_NUM_THREADS="1",
    )
    os.environ.update(_environment)
    # As in a process that torchrun started; a spawned one would spawn its loaders' workers, too.
    mp.set_start_method(None, force=True)
    # Loaders' workers are forks; without this each one's end looks through all that was imported.
    gc.freeze()
    # where each thread stands, if the job hangs
    faulthandler.dump_traceback_later(PATIENCE / 2, exit=False)
    try:
        found = (True, function(rank, *arguments))
    except BaseException:
        found = (False, traceback.format_exc())
    # By plain pickle, tensors travel as their bytes, and not as files of a process that ends.
    pipe.send_bytes(pickle.dumps(found))
