"""One run at a time in a folder of results: two would forget each other's work, and disturb clocks.

The system lets go of the lock when the run that holds it is gone, be it killed.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

LOCK = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder of results.

    Args:
        folder: It; the lock is a file in it, which stays.

    Raises:
        BlockingIOError: Another run holds it; the message names its process.
    """
    path = folder / LOCK
    with path.open("a+", encoding="utf-8") as file:
        if not _take(file):
            file.seek(0)
            holder = file.read().strip() or "whose number is not known"
            raise BlockingIOError(
                f"another run is at work in {folder}: process {holder}; wait for its end or stop "
                "it, or choose another folder by HETLIB_RESULTS."
            )
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _take(file: IO[str]) -> bool:
    """Take the lock on a file; True also where the system, or its disk, has none."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a disk without locks
        return True
    return True
