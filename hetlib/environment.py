"""The versions and the machine that a result depends on."""

import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any

import torch


def environment() -> dict[str, Any]:
    """Return the versions and the machine that a result depends on."""
    # all are required
    packages = ("torch", "torchvision", "numpy", "pandas", "rasterio", "seaborn", "papermill")
    versions = {package: importlib.metadata.version(package) for package in packages}
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    processor = re.search(r"model name\s*: (.+)", info)
    machine = {
        "system": platform.system(),
        "processor": processor[1] if processor else platform.machine(),
    }
    machine["gpu"] = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return {
        "python": platform.python_version(),
        **versions,
        **machine,
        "cores": len(os.sched_getaffinity(0)),
    }
