"""The machine and the versions that a result depends on."""

import importlib.metadata
import math
import os
import platform
import re
from pathlib import Path
from typing import Any

# Those that can change a result or a picture; a record names the ones that are installed.
PACKAGES = ("torch", "torchvision", "numpy", "pandas", "rasterio", "seaborn", "papermill")
_PROCESSORS = Path("/proc/cpuinfo")  # of Linux
_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def cores() -> int:
    """Return the processor cores that this process may use.

    A control group's quota of 1.5 cores counts as 2: so many threads have something to do.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    quota = _quota()
    if quota is None:
        return allowed
    return max(min(allowed, math.ceil(quota)), 1)


def _quota() -> float | None:
    """Return the cores that a container, or a job of a cluster, may keep busy; None: no limit."""
    quotas = []
    for group in _groups():
        for read in (_quota_2, _quota_1):
            try:
                quota = read(group)
            except (OSError, ValueError):  # another version, or a file without numbers: no limit
                continue
            if quota > 0:
                quotas.append(quota)
    return min(quotas, default=None)


def _quota_2(group: Path) -> float:
    quota, period = (group / "cpu.max").read_text().split()
    return int(quota) / int(period)


def _quota_1(group: Path) -> float:
    quota = int((group / "cpu.cfs_quota_us").read_text())
    return quota / int((group / "cpu.cfs_period_us").read_text())


def _groups() -> list[Path]:
    """Return the folders of this process's control groups and of those around them."""
    roots = [_CGROUP, _CGROUP / "cpu"]
    found = list(roots)
    try:
        lines = _OWN_GROUPS.read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        number, kinds, path = line.split(":", 2)
        root = _CGROUP if number == "0" else _CGROUP / "cpu"
        if number != "0" and "cpu" not in kinds.split(","):
            continue
        group = root / path.strip("/")
        while group not in roots and ".." not in group.parts:
            found.append(group)
            group = group.parent
    return found


def version() -> str:
    """Return hetlib's own version; "(not installed)" where it is used from its folder alone."""
    try:
        return importlib.metadata.version("hetlib")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def versions() -> dict[str, str]:
    """Return the versions of those `PACKAGES` that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Return the processor's name where the system tells it, else its architecture."""
    try:
        named = re.search(r"model name\s*: (.+)", _PROCESSORS.read_text())
    except OSError:
        named = None
    return named[1] if named else platform.machine()


def environment() -> dict[str, Any]:
    """Return Python's and the packages' versions, the system, processor, GPU and cores."""
    import torch  # takes seconds and much memory, and who asks for the cores alone has no use of it

    has_gpu = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        **versions(),
        "system": platform.system(),
        "processor": processor(),
        "gpu": torch.cuda.get_device_name(0) if has_gpu else "none",
        "cores": cores(),
    }
