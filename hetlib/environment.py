"""The machine and the versions that a result depends on."""

import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any

import torch

# Those that can change a result or a picture; a record names the ones that are installed.
PACKAGES = ("torch", "torchvision", "numpy", "pandas", "rasterio", "seaborn", "papermill")
_PROCESSORS = Path("/proc/cpuinfo")  # of Linux


def cores() -> int:
    """Return the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
    has_gpu = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        **versions(),
        "system": platform.system(),
        "processor": processor(),
        "gpu": torch.cuda.get_device_name(0) if has_gpu else "none",
        "cores": cores(),
    }
