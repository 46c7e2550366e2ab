"""The code as a whole: what the tools say, how long files are, and which names are public."""

import importlib
import subprocess
import sys

import pytest
import yaml

from hetlib_bundle.paths import ROOT
from tests.project import PROJECT, run_module

# Lines of a file that holds one idea.
LONGEST_FILE = 380  # lines, docstrings and all


def run_code(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter that has imported nothing of ours."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("command", ["ruff check .", "ruff format --check .", "mypy"])
def test_tools_are_content(command: str) -> None:
    done = run_module(*command.split())
    assert done.returncode == 0, done.stdout + done.stderr


def test_library_stays_small() -> None:
    """A file holds one idea, so none is long; how many files there are does not matter."""
    paths = list((ROOT / "hetlib").rglob("*.py"))
    assert paths
    lengths = {str(path): len(path.read_text().splitlines()) for path in paths}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


PUBLIC_NAMES = """
import ast, importlib, pathlib, sys, types
import hetlib
source = ast.parse(pathlib.Path(hetlib.__file__).read_text())
typed = next(node for node in source.body if isinstance(node, ast.If))  # if TYPE_CHECKING
modules = {name.name: line.module for line in typed.body for name in line.names}
assert set(modules) == set(hetlib.__all__)
for _ in range(2):  # before and after every module has been imported
    for name in hetlib.__all__:
        value = getattr(hetlib, name)
        assert not isinstance(value, types.ModuleType), name
        assert value is getattr(importlib.import_module(modules[name]), name), name
    for module in sys.argv[1:]:
        importlib.import_module(module)
assert set(hetlib.__all__) <= set(dir(hetlib))
assert hetlib.partition([hetlib.SpeedModel.constant(1)] * 2, 8).shares == (4, 4)
"""


def modules() -> list[str]:
    """Return the dotted names of all modules of the library."""
    found = []
    for path in (ROOT / "hetlib").rglob("*.py"):
        # an integration needs its framework
        if path.stem not in ("__init__", "__main__") and path.parent.name != "integrations":
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append(".".join(parts))
    return found


@pytest.mark.parametrize(
    "first",
    [
        "import hetlib",
        "import hetlib.planning.partition",
        "from hetlib.planning.partition import Partition",
        "from hetlib import partition, plan; import hetlib.planning.partition",
        "import hetlib_bundle.figures, hetlib.training.run",
        "from hetlib import *",
    ],
)
def test_public_names_in_any_import_order(first: str) -> None:
    done = run_code(f"{first}\n{PUBLIC_NAMES}", *modules())
    assert done.returncode == 0, done.stderr


CHEAP = """
import sys
import hetlib_bundle.cli
sys.exit("torch" in sys.modules or "pandas" in sys.modules)
"""


def test_importing_the_package_and_its_help_are_cheap() -> None:
    assert run_code(CHEAP).returncode == 0


def test_unknown_public_name() -> None:
    hetlib = importlib.import_module("hetlib")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(hetlib, "nothing")  # noqa: B009 -- mypy knows it is not there


def test_citation_names_the_letter_and_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["preferred-citation"]["doi"] == "10.1109/LGRS.2022.3173052"
    assert citation["version"] == PROJECT["version"]
