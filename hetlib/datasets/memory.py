"""How much memory there is, compared with what would be read, before it is read."""

import os
import re
from pathlib import Path

# What Linux says of the machine, and of the container that this process lives in (version 2, 1).
_MACHINE = Path("/proc/meminfo")
_CONTAINER = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)

GIB = 1 << 30


def available_memory() -> int | None:
    """Return the bytes that this process may still take; None where the system does not tell.

    It is the least of what is free on the machine, in the container, and within the process's own
    limit (``ulimit -v``).
    """
    limits = [left_on_machine(), left_by_limit()]
    limits += [left_in_container(limit, used) for limit, used in _CONTAINER]
    known = [limit for limit in limits if limit is not None]
    return min(known, default=None)


def left_on_machine() -> int | None:
    """Return the bytes that are free on the machine; None where it does not tell."""
    try:
        found = re.search(r"MemAvailable:\s*(\d+) kB", _MACHINE.read_text())
    except OSError:
        found = None
    if found:
        return int(found[1]) * 1024
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def left_in_container(limit: Path, used: Path) -> int | None:
    """Return the bytes that are free in a container; None where there is none, or no limit.

    Args:
        limit: File with the number of bytes that it may use.
        used: File with the number of those that it does use.
    """
    try:
        return max(int(limit.read_text()) - int(used.read_text()), 0)
    except (OSError, ValueError):  # "max" is no limit
        return None


def left_by_limit() -> int | None:
    """Return the bytes within the process's limit of addresses; None where there is none."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):  # Windows, macOS
        return None
    if limit == resource.RLIM_INFINITY:
        return None
    return max(limit - pages * resource.getpagesize(), 0)


def check_memory(what: str, needed: int, remedy: str) -> None:
    """Refuse what does not fit into memory, before any of it is read.

    Args:
        what: What would be read, with its size as the file has it.
        needed: Bytes that it would take.
        remedy: What to do instead.

    Raises:
        ValueError: Less than ``needed`` is available.
    """
    there = available_memory()
    if there is not None and needed > there:
        raise ValueError(
            f"{what} needs {needed / GIB:.1f} GiB of memory, {there / GIB:.1f} GiB are "
            f"available; {remedy}."
        )
