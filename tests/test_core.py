"""The core on torch and numpy alone: every other package is refused, here and in the workers."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hetlib_bundle.paths import ROOT
from tests.test_readme import BLOCKS

# Python loads this at its start, in workers, too.
REFUSE_OTHERS = """
from importlib.machinery import PathFinder

find_any = PathFinder.find_spec


def find_spec(name, path=None, target=None):
    if name.partition(".")[0] in REFUSED:
        return None  # as for a package that is not there
    return find_any(name, path, target)


PathFinder.find_spec = find_spec
"""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(names: set[str]) -> set[str]:
    """Distributions, and all that they require in turn."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = normal(waiting.pop())
        found.add(name)
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        wanted = [re.split(r"[^\w.-]", line)[0] for line in lines if "extra ==" not in line]
        waiting |= {normal(name) for name in wanted} - found
    return found


def refused() -> set[str]:
    """Modules of all distributions here that torch and numpy do not need."""
    allowed = required({"torch", "numpy"})
    names = set()
    for module, distributions in importlib.metadata.packages_distributions().items():
        owners = {normal(name) for name in distributions}
        if not owners & (allowed | {"hetlib"}):
            names.add(module)
    return names


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment variables of an interpreter in which nothing else is installed."""
    folder = tmp_path_factory.mktemp("core")
    names = refused()
    assert {"pandas", "rasterio", "torchvision", "typer", "yaml", "tqdm", "psutil"} <= names
    (folder / "sitecustomize.py").write_text(f"REFUSED = {names!r}\n{REFUSE_OTHERS}")
    paths = os.pathsep.join([str(folder), str(ROOT)])
    return {
        **os.environ,
        "PYTHONPATH": paths,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "HETLIB_CACHE": str(folder / "cache"),  # decoded images would need no decoder
    }


def run(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_core_needs_torch_and_numpy_alone(core: dict[str, str]) -> None:
    printed = run(core, "-c", "from tests.core import main; main()")
    assert "the core works with torch and numpy alone" in printed
    for extra in ("data", "cli", "vision"):
        assert f"pip install '.[{extra}]'" in printed


def test_the_five_lines_run_in_the_core(core: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(BLOCKS[0])
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    assert "samples a step of each replica" in run(core, *launcher, str(script))


def test_a_refused_package_is_refused(core: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", "import pandas"], env=core, capture_output=True)
    assert done.returncode == 1


def test_importing_hetlib_loads_nothing_beside_it(core: dict[str, str]) -> None:
    """So it takes no longer than torch, whose import any use of a public name brings along."""
    code = (
        "import torch, sys; known = set(sys.modules); import hetlib; "
        "print(set(sys.modules) - known)"
    )
    assert run(core, "-c", code).strip() == "{'hetlib'}"
