"""The memory of a notebook and of all processes that it starts, watched while it runs."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

BYTES_OF_A_MEGABYTE = 2**20


@dataclass
class Peak:
    """The most memory that was seen so far."""

    # Of all processes together, in MB.
    megabytes: float = 0.0


@contextlib.contextmanager
def watch_memory(seconds: float = 1.0) -> Iterator[Peak]:
    """Watch the memory of this process and its descendants until the block ends.

    Sizes are proportional: a page that k processes share counts as 1/k in each. Outside Linux the
    resident sizes stand in, whose sum is larger.

    Args:
        seconds: Between two looks; one at a process that has imported torch takes 15 ms.

    Yields:
        The peak, which grows meanwhile.
    """
    peak = Peak()
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(peak, stop, seconds), daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()


def _watch(peak: Peak, stop: threading.Event, seconds: float) -> None:
    """Raise ``peak`` to what is in use, once every few seconds, until told to stop."""
    this = psutil.Process()
    while True:
        processes = [this, *this.children(recursive=True)]
        used = sum(map(_megabytes, processes))
        peak.megabytes = max(peak.megabytes, used)
        if stop.wait(seconds):
            return


def _megabytes(process: psutil.Process) -> float:
    """Return what a process uses, in MB; nothing where it ended meanwhile."""
    try:
        memory = process.memory_full_info()
    except psutil.Error:
        return 0.0
    used = getattr(memory, "pss", memory.rss)
    return float(used) / BYTES_OF_A_MEGABYTE
