"""What the system tells of a process: how it died, whether it stands still."""

import signal
from pathlib import Path

# Exit code of a worker whose script starts replicas when it is imported; none of the shell's.
UNGUARDED = 121

GUARD = 'if __name__ == "__main__":'

_PROCESSES = Path("/proc")  # of Linux

# Fields of /proc/PID/stat behind the name: the state, and ticks spent in the program and for it.
_STATE = 0
_TICKS = (11, 12)

# States in which a process does nothing until somebody lets it go on: stopped, or by a debugger.
_STOPPED = ("T", "t")


def death(code: int | None) -> str:
    """Say how a process with this exit code died.

    Args:
        code: Below 0 the number of a signal; None: it is not known.
    """
    if code == UNGUARDED:
        return (
            "could not start: every replica imports the script or module that starts it, and this "
            f"one starts replicas as it is imported; put those lines below `{GUARD}`."
        )
    hint = ""
    if code is not None and code < 0:
        name = _signal_name(-code)
        how = f"was killed by {name}"
        if name == "SIGKILL":
            hint = " (often: out of memory)"
    else:
        how = f"ended with exit code {code}"
    return f"{how}{hint}; the other replicas were stopped."


def _signal_name(number: int) -> str:
    """Return its name where this system has one: Windows knows few signals, Linux more numbers."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def is_stopped(process: int | None) -> bool:
    """Say whether somebody stopped a process; False where the system does not tell.

    Args:
        process: Its number.
    """
    fields = _status(process)
    return bool(fields) and fields[_STATE] in _STOPPED


def ticks(process: int | None) -> int | None:
    """Return how long a process has computed, in ticks; None where the system does not tell.

    Args:
        process: Its number.
    """
    fields = _status(process)
    if not fields:
        return None
    return sum(int(fields[number]) for number in _TICKS)


def _status(process: int | None) -> list[str]:
    """Return the fields behind the process's name, which may hold blanks and brackets."""
    try:
        text = Path(_PROCESSES, str(process), "stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
