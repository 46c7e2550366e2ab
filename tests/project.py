"""What several tests of the files around the code need."""

import subprocess
import sys
import tomllib
from typing import Any

from hetlib_bundle.paths import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run_module(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this interpreter in the clone."""
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
