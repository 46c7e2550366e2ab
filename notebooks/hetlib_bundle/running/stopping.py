"""Ctrl-C and SIGTERM end a run of notebooks within seconds: its threads and their kernels."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hetlib_bundle.running.kernels import kill_kernels

Item = TypeVar("Item")

# Seconds between two looks whether the threads have seen that their kernels are gone.
_LOOK = 0.2

# Exit status of a run that a signal stopped: this and the signal's number.
_STATUS = 128


class Terminated(BaseException):
    """SIGTERM came."""


def signal_of(stop: BaseException) -> signal.Signals:
    """Return the signal behind what stopped a run.

    Args:
        stop: KeyboardInterrupt, or `Terminated`.
    """
    return signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT


def status_of(stop: BaseException) -> int:
    """Return the exit status of a run that was stopped so.

    Args:
        stop: KeyboardInterrupt, or `Terminated`.
    """
    return _STATUS + signal_of(stop)


@contextlib.contextmanager
def raising_at_sigterm() -> Iterator[None]:
    """Let SIGTERM stop the block as Ctrl-C does, where this is the thread that gets signals.

    Raises:
        Terminated: It came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def in_threads(
    jobs: int, work: Callable[[Item], None], items: Sequence[Item], stopped: threading.Event
) -> None:
    """Do some work in threads, so that the caller's is free to be interrupted.

    Args:
        jobs: Threads at a time.
        work: Runs a kernel for an item, and ends when that is gone.
        items: In this order.
        stopped: Set where the work is to end before its end: at an error, or an interruption.
    """
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in futures:
                future.result()
        except BaseException:
            stopped.set()
            for future in futures:
                future.cancel()
            while not all(future.done() for future in futures):
                kill_kernels()  # again and again: one may just be starting
                time.sleep(_LOOK)
            raise
