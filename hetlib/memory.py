"""How much memory is free for this process, on the machine, in its container and by its limit."""

import re
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")  # of Linux

_CGROUP = Path("/sys/fs/cgroup")

# Within it, the files with a container's limit and with what it uses (version 2, version 1).
_CONTAINERS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def available_memory() -> int | None:
    """Return the bytes that this process may still take; ``None`` where nobody knows.

    It is the least of what is free on the machine, in the container, and within the process's own
    limit (``ulimit -v``).
    """
    amounts = [_left_on_machine(), _left_by_limit()]
    for limit, used in _CONTAINERS:
        amounts.append(_left_in_container(_CGROUP / limit, _CGROUP / used))
    known = [max(amount, 0) for amount in amounts if amount is not None]
    return min(known, default=None)


def _left_on_machine() -> int | None:
    """Return what psutil says, or without it Linux itself; ``None`` elsewhere."""
    try:
        import psutil
    except ImportError:
        return _left_by_meminfo()
    return int(psutil.virtual_memory().available)


def _left_by_meminfo() -> int | None:
    try:
        available = re.search(r"^MemAvailable: +(\d+) kB$", _MEMINFO.read_text(), re.MULTILINE)
    except OSError:
        return None
    if available is None:  # an old kernel
        return None
    return 1024 * int(available[1])


def _left_in_container(limit: Path, used: Path) -> int | None:
    try:
        return int(limit.read_text()) - int(used.read_text())
    except (OSError, ValueError):  # no container, or "max", which is no limit
        return None


def _left_by_limit() -> int | None:
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):  # Windows, macOS
        return None
    if limit == resource.RLIM_INFINITY:
        return None
    return limit - pages * resource.getpagesize()
