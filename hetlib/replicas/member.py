"""A worker as its caller sees it: what it says, and that it lives while it says nothing."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, NamedTuple

from hetlib.replicas.life import death, is_stopped, ticks

_TO_END = 10  # seconds for a process to end, when asked and again when killed
_TO_BE_REAPED = 5  # seconds until a process whose pipe has ended tells its exit code

# Seconds that a worker has at least until its first sign of life: it may have to import torch on a
# machine with a high load.
_TO_START = 300.0


# Bytes of a message that a pipe takes at once, whether somebody reads it or not.
_FITS = 16_384

# Seconds between two looks at a worker whose message does not come to its end.
_LOOK = 0.5


class Event(NamedTuple):
    """What a worker said, or what was seen of it.

    Attributes:
        rank: Of the worker.
        kind: ``"print"`` a line, ``"beat"``, ``"done"`` with a result, ``"failed"`` or ``"died"``
            and how.
        value: The line, the result, or how.
    """

    rank: int
    kind: str
    value: Any


class _Reading(threading.Thread):
    """Reads one message; a worker that is stopped in the middle of it holds nobody else.

    Args:
        pipe: From the worker; the thread ends when the pipe does.

    Attributes:
        message: What was read; None where the pipe has ended.
    """

    def __init__(self, pipe: Connection) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self.message: bytes | None = None

    def run(self) -> None:
        """Read it."""
        with contextlib.suppress(EOFError, OSError):
            self.message = self._pipe.recv_bytes()


class Worker:
    """A process, and the pipe by which it gets its jobs and answers.

    Args:
        rank: Its number.
        process: That was started.
        pipe: To it.
        timeout: Seconds after which a sign of life is missed.

    Attributes:
        heard: When it gave the last one, in seconds of this process's clock.
    """

    def __init__(self, rank: int, process: BaseProcess, pipe: Connection, timeout: float) -> None:
        self.rank = rank
        self.process = process
        self.pipe = pipe
        self.heard = time.monotonic()
        self._timeout = timeout
        self._started = self.heard
        self._is_ready = False
        self._computed: int | None = None

    def begin(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Send it a job; that it is gone is told by the next event."""
        self.heard = time.monotonic()
        message = bytes(ForkingPickler.dumps((function, arguments)))
        if len(message) <= _FITS:
            self._send(message)
        else:  # which waits for the worker to read: one that is stopped is to be noticed meanwhile
            threading.Thread(target=self._send, args=(message,), daemon=True).start()

    def _send(self, message: bytes) -> None:
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(message)

    def next_event(self) -> Event | None:
        """Return its next message, or its death; None where it says nothing and lives."""
        try:
            if self.pipe.poll():
                return self._received()
        except (EOFError, OSError):
            return self._ended()
        if self.process.is_alive() or self.pipe.poll():
            return None
        return self.death()

    def _received(self) -> Event:
        """Read the message that has begun; where it stands still, return that."""
        reading = _Reading(self.pipe)
        reading.start()
        reading.join(_LOOK)
        while reading.is_alive():
            silence = self.silence()
            if silence is not None:
                return silence
            reading.join(_LOOK)
        if reading.message is None:
            return self._ended()
        kind, value = ForkingPickler.loads(reading.message)
        self.heard = time.monotonic()
        self._is_ready = True
        self._computed = None
        return Event(self.rank, kind, value)

    def _ended(self) -> Event:
        """Return that it died: its pipe has ended."""
        self.process.join(_TO_BE_REAPED)
        return self.death()

    def death(self) -> Event:
        """Return that it died, and how."""
        return Event(self.rank, "died", death(self.process.exitcode))

    def is_stopped(self) -> bool:
        """Say whether somebody stopped it."""
        return is_stopped(self.process.pid)

    def silence(self) -> Event | None:
        """Return that it stands still, where it has given no sign of life for too long."""
        now = time.monotonic()
        if now - self.heard < self._timeout / 2:
            return None
        if self._computed is None:
            self._computed = ticks(self.process.pid)
        if now - self.heard < self._timeout:
            return None
        if self._is_busy():
            # a step that lets no other thread in: for half a time-out more, from now on
            self.heard = now - self._timeout / 2
            self._computed = None
            return None
        return self.standstill()

    def _is_busy(self) -> bool:
        """Say whether it computes or starts, although it says nothing."""
        if self.is_stopped():
            return False
        if not self._is_ready and time.monotonic() - self._started < _TO_START:
            return True
        return self._computed != ticks(self.process.pid)

    def standstill(self) -> Event:
        """Return that it gives no sign of life."""
        why = "it was stopped" if self.is_stopped() else "its machine swaps, or a disk is gone?"
        silent = time.monotonic() - self.heard
        said = f"has given no sign of life for {silent:.0f} s ({why})"
        return Event(self.rank, "died", f"{said}; the other replicas were stopped.")

    def ask_to_end(self) -> None:
        """Let it end after its job, if it still listens."""
        with contextlib.suppress(OSError):
            self.pipe.send(None)

    def kill(self) -> None:
        """Kill it, and what it started: the processes of its group."""
        if hasattr(os, "killpg") and self.process.is_alive() and self.process.pid is not None:
            with contextlib.suppress(OSError):  # not yet the first of a group
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()

    def end(self) -> None:
        """Wait for its end, kill it if it does not answer, and free what it held."""
        self.process.join(_TO_END)
        self.kill()
        self.process.join(_TO_END)
        self.pipe.close()
