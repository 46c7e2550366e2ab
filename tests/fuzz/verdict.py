"""What became of an odd input: a clear error, a result, or neither; in which time and memory."""

import json
import linecache
import re
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple

import hetlib

HETLIB = Path(hetlib.__file__).parent
BUNDLE = HETLIB.parent / "notebooks" / "hetlib_bundle"
STATUS = Path("/proc/self/status")
PEAK = Path("/proc/self/clear_refs")

# Seconds that one input may compute, and that it may last on a busy machine.
LIMIT = 15.0
LASTS = 120.0

# Bytes beside those of what is read: modules that are imported on the way, and caches of the
# allocator.
ALLOWANCE = 64 * 2**20
TIMES_AS_MUCH = 1.3

# Bytes that an input may take before it is ended.
WALL = 2 * 2**30

# A clear error is one of these, or derived from one.
KINDS = (ValueError, TypeError, OSError, RuntimeError)

VERDICTS = ("clear", "unclear", "late", "accepted", "slow", "memory")


class TooSlowError(BaseException):
    """An input took longer than it may; no ``except Exception`` can swallow it."""


class Case(NamedTuple):
    """An input, and how a user would use it.

    Attributes:
        about: The input, for the report.
        make: Constructs or reads it.
        use: Uses what came of it for the first time.
        file: A file that an error may name in place of a field; ``None``: there is none.
        size: Bytes of what is read.
    """

    about: str
    make: Callable[[], Any]
    use: Callable[[Any], object] = json.dumps
    file: Path | None = None
    size: int = 0


class Found(NamedTuple):
    """What became of a case: one of `VERDICTS`, and the error as text."""

    verdict: str
    said: str = ""


def judged(case: Case) -> Found:
    """Run a case within its limits."""
    before = _memory("VmRSS")
    _forget_peak()
    begin = time.process_time()
    try:
        with _time_limit(), _memory_limit():
            found = _ran(case)
    except MemoryError:
        return Found("memory", f"more than {WALL / 2**20:.0f} MB")
    except TooSlowError:
        return Found("slow", f"longer than {LIMIT:g} s")
    if time.process_time() - begin > LIMIT:
        return Found("slow", f"longer than {LIMIT:g} s")
    more = _memory("VmHWM") - before
    if more > TIMES_AS_MUCH * case.size + ALLOWANCE:
        return Found("memory", f"{more / 2**20:.0f} MB for {case.size / 2**20:.1f} MB")
    return found


def _ran(case: Case) -> Found:
    try:
        made = case.make()
    except MemoryError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        return Found("clear" if is_clear(error, case.file) else "unclear", said)
    try:
        case.use(made)
    except MemoryError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        return Found("clear" if is_clear(error, case.file) else "late", said)
    return Found("accepted")


def is_clear(error: Exception, file: Path | None) -> bool:
    """Return whether an error was raised by hetlib itself and names the field or the file."""
    ours = _is_raised_by_hetlib(error.__traceback__)
    names_it = bool(re.search(r"`[^`]+`|the state", str(error)))
    if file is not None and not names_it:
        names_it = file.name in str(error) or str(file.parent) in str(error)
    return isinstance(error, KINDS) and ours and names_it


def _is_raised_by_hetlib(trace: TracebackType | None) -> bool:
    """Return whether a ``raise`` of hetlib ends a traceback, and no call that went wrong there."""
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    file = trace.tb_frame.f_code.co_filename
    line = linecache.getline(file, trace.tb_lineno)
    ours = any(Path(file).is_relative_to(folder) for folder in (HETLIB, BUNDLE))
    return ours and line.lstrip().startswith("raise")


@contextmanager
def _time_limit() -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        raise TooSlowError

    limits = {signal.ITIMER_PROF: LIMIT, signal.ITIMER_REAL: LASTS}
    numbers = (signal.SIGPROF, signal.SIGALRM)
    before = {number: signal.signal(number, end) for number in numbers}
    for timer, seconds in limits.items():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer in limits:
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _memory_limit() -> Iterator[None]:
    """Let this process take so much more memory and no more, so that it outlives the input."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = _memory("VmSize")
    if used:
        resource.setrlimit(resource.RLIMIT_AS, (used + WALL, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _memory(field: str) -> int:
    """Return bytes of this process: ``VmRSS`` now, ``VmHWM`` at most; 0 where nobody knows."""
    if not STATUS.exists():
        return 0
    line = re.search(rf"^{field}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    return 1024 * int(line[1]) if line else 0


def _forget_peak() -> None:
    """Let the peak of this process's memory begin anew."""
    if PEAK.exists():
        PEAK.write_text("5")
