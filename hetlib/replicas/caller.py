"""A worker's look at the process that started it: it must not outlive that one.

The caller of a worker is not its parent, as a server forks it, and whatever the caller forks
holds its pipes open. So a worker waits for the caller itself, by a descriptor of that process where
the system has those, and for the end of the pipe that multiprocessing keeps between them.
"""

import contextlib
import ctypes
import multiprocessing as mp
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import wait

# Environment variable that tells the server of workers the caller's temporary folder.
FOLDER = "HETLIB_OWN_FOLDER"

_PR_SET_PDEATHSIG = 1  # of prctl, from linux/prctl.h

# Seconds in which a caller whose pipe has ended is seen to end itself.
_TO_END = 1.0


class Caller:
    """The process that this worker works for.

    Args:
        number: Of the process.
        folder: Temporary folder of the caller, which goes with it.
    """

    def __init__(self, number: int, folder: str) -> None:
        self._folder = folder
        self._ends: list[int] = []
        parent = mp.parent_process()
        if parent is not None:
            self._ends.append(parent.sentinel)
        self._is_gone = False
        if hasattr(os, "pidfd_open"):
            try:
                self._ends.append(os.pidfd_open(number))
            except ProcessLookupError:
                self._is_gone = True
            except OSError:  # a kernel, or a container, that does not know the call
                pass

    def is_gone(self, seconds: float) -> bool:
        """Wait for the caller's end.

        Args:
            seconds: At most.

        Returns:
            Whether it ended.
        """
        return self._is_gone or bool(wait(self._ends, seconds))

    def watch(self, seconds: float, meanwhile: Callable[[], None]) -> None:
        """Begin to watch in a thread; at the caller's end this process ends, too.

        Args:
            seconds: Between two calls of ``meanwhile``.
            meanwhile: Called again and again while the caller is there; if it raises an OSError,
                the caller does not listen any more.
        """
        thread = threading.Thread(target=self._watch, args=(seconds, meanwhile), daemon=True)
        thread.start()

    def _watch(self, seconds: float, meanwhile: Callable[[], None]) -> None:
        try:
            while not self.is_gone(seconds):
                meanwhile()
        finally:
            self.leave()

    def leave(self) -> None:
        """End this process and all that it started; remove the folder of a caller that is gone."""
        if self.is_gone(_TO_END):
            shutil.rmtree(self._folder, ignore_errors=True)
        if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(0)


def stand_alone(*, die_with_parent: bool) -> None:
    """Make this process one that nothing but its caller ends, together with what it starts.

    Args:
        die_with_parent: Let Linux end it when its parent ends, also where it is stopped. Only for
            a parent that lives as long as the caller: what counts is the *thread* that started it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller stops its replicas itself
    if hasattr(os, "setpgrp"):
        os.setpgrp()
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it may print on the caller's terminal
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # of the server
    if die_with_parent and sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
