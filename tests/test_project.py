"""The files around the code agree with each other and with what is on disk."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
import types
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import papermill
import pytest
import yaml
from packaging.requirements import Requirement

from hetlib_bundle.paths import NOTEBOOKS, ROOT
from hetlib_bundle.running import heads
from tests import bench
from tests.bench import __main__ as bench_main
from tests.bench import speedup

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"torch": "pytorch"}
LONGEST_FILE = 330  # lines
CONDA_ONLY = {"python", "pip", "setuptools"}  # what pip itself needs to install hetlib
SOURCES = sorted(NOTEBOOKS.glob("*.ipynb"))


def requirements(*extras: str) -> list[Requirement]:
    lines = PROJECT["dependencies"] + [
        line for extra in extras for line in PROJECT["optional-dependencies"][extra]
    ]
    return [Requirement(line) for line in lines]


def conda() -> dict[str, str]:
    """Conda specs by package name, e.g. ``{"python": "=3.11"}``."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pairs = (re.fullmatch(r"([\w-]+)(.*)", spec) for spec in environment["dependencies"])
    return {pair[1]: pair[2] for pair in pairs if pair}


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^\s\\;]+)", (ROOT / name).read_text(), re.MULTILINE))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True
    )


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# Environments


def test_conda_environment_names_what_the_package_needs() -> None:
    names = {CONDA_NAMES.get(r.name, r.name) for r in requirements()}
    assert set(conda()) - CONDA_ONLY == names


def test_conda_ranges_are_those_of_the_package() -> None:
    specs = conda()
    for r in requirements():
        spec = specs[CONDA_NAMES.get(r.name, r.name)]
        if spec and not spec.endswith("cpu_*"):
            assert set(spec.split(",")) == set(str(r.specifier).split(",")), r.name


def test_conda_python_is_exact() -> None:
    assert conda()["python"] == "=3.11"


def test_every_conda_package_says_what_needs_it() -> None:
    lines = [
        line
        for line in (ROOT / "environment.yml").read_text().splitlines()
        if line.startswith("  - ")
    ]
    silent = [line for line in lines[2:] if "  # " not in line]  # the first two are channels
    assert not silent


def test_binder_reads_the_root_environment() -> None:
    link = ROOT / "binder" / "environment.yml"
    assert link.resolve() == ROOT / "environment.yml"


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_binder_scripts_can_run(name: str) -> None:
    path = ROOT / "binder" / name
    assert path.read_text().startswith("#!/bin/bash\n")
    assert os.access(path, os.X_OK)


def test_binder_start_hands_over() -> None:
    text = (ROOT / "binder" / "start").read_text()
    assert text.rstrip().endswith('exec "$@"')
    assert "GLOO_SOCKET_IFNAME=lo" in text
    assert "OMP_NUM_THREADS=1" in text
    assert "HETLIB_SOURCE=recorded" in text


def test_every_dependency_is_used() -> None:
    imported = {"lazy-loader": "lazy_loader", "pillow": "PIL", "pyyaml": "yaml"}
    files = [
        *ROOT.glob("hetlib/*.py"),
        *ROOT.glob("notebooks/**/*.py"),
        *ROOT.glob("notebooks/*.ipynb"),
    ]
    code = "\n".join(path.read_text(encoding="utf-8") for path in [*files, ROOT / "Makefile"])
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in PROJECT["dependencies"]]  # type: ignore[index]
    ways = r"(import |from |-m |lazy\.load\(\")"
    assert [
        n for n in names if not re.search(rf"{ways}{imported.get(n, n)}|{n}_launcher", code)
    ] == []


def test_binder_recipe_renders() -> None:
    user = ("--user-id", "1000", "--user-name", "jovyan")  # it refuses to build for root
    done = run("repo2docker", "--no-build", "--debug", *user, str(ROOT))
    recipe = done.stdout + done.stderr
    assert done.returncode == 0, recipe[-2000:]
    assert "binder/environment.yml" in recipe
    assert "Building conda environment for python=3.11\n" in recipe
    assert "./binder/postBuild" in recipe
    assert "binder/start" in recipe


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-bench.lock"])
def test_lock_holds_versions_and_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert text.count("--hash=sha256:") >= len(locked(name)) > 50


@pytest.mark.parametrize(
    ("name", "extras"), [("requirements.lock", ("test",)), ("requirements-bench.lock", ("bench",))]
)
def test_lock_satisfies_the_package(name: str, extras: tuple[str, ...]) -> None:
    pins = {normal(key): version for key, version in locked(name).items()}
    for r in requirements(*extras):
        assert r.specifier.contains(pins[normal(r.name)]), (
            f"{r} is locked at {pins[normal(r.name)]}"
        )


def test_locks_agree() -> None:
    main, bench = locked("requirements.lock"), locked("requirements-bench.lock")
    assert {name: main[name] for name in main.keys() & bench} == {
        n: bench[n] for n in main.keys() & bench
    }


# Notebook sources


def cells(path: Path, kind: str) -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def test_there_are_notebooks() -> None:
    assert SOURCES
    assert all(re.match(r"\d\d_", path.stem) for path in SOURCES)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_source_is_clean(path: Path) -> None:
    nbformat.validate(nbformat.read(path, as_version=4))
    for cell in cells(path, "code"):
        assert not cell.outputs
        assert cell.execution_count is None
        assert len(cell.source.splitlines()) <= 20, cell.source
    assert json.loads(path.read_text())["metadata"]["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_parameters_are_all_found(path: Path) -> None:
    tagged = [cell for cell in cells(path, "code") if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    statements = ast.parse(tagged[0].source).body
    assert all(isinstance(s, ast.AnnAssign) for s in statements), (
        "one 'name: type = default' a line"
    )
    names = [
        s.target.id
        for s in statements
        if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
    ]
    found = papermill.inspect_notebook(path)
    assert names == list(found)
    assert {"profile", "source"} <= set(found)
    assert all(parameter["help"] for parameter in found.values()), (
        "each with a comment: unit, meaning"
    )


def test_readme_lists_the_notebooks() -> None:
    listed = set(re.findall(r"\b(\d\d_\w+)\.ipynb", (ROOT / "README.md").read_text()))
    assert listed == {path.stem for path in SOURCES}


def test_index_is_made_from_the_heads_of_all_notebooks() -> None:
    found = heads.read_heads()
    assert [head.name for head in found] == [path.stem for path in SOURCES]
    listed = re.findall(
        r"^- \[(\d\d_\w+)\.ipynb\]\((\d\d_\w+)\.ipynb\): \w",
        heads.notebooks_list(found),
        re.MULTILINE,
    )
    assert listed == [(path.stem, path.stem) for path in SOURCES]
    source = "\n".join(cell.source for cell in cells(NOTEBOOKS / "00_index.ipynb", "code"))
    assert "heads.claims_table(" in source
    assert "heads.notebooks_list(" in source


def test_every_claim_has_notebooks() -> None:
    rows = heads.claims_table(heads.read_heads()).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [f"| C{number}" for number in range(1, 6)]
    assert all(".ipynb" in row for row in rows)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("C1, C2.", ("C1", "C2")),
        ("an overview of C1 to C5.", ("C1", "C2", "C3", "C4", "C5")),
        ("C4 (gradient).\n\nC9 is another paragraph.", ("C4",)),
        ("none; the data behind C3 to C5.", ()),
    ],
)
def test_claims_of_a_head(text: str, named: tuple[str, ...], tmp_path: Path) -> None:
    cell = nbformat.v4.new_markdown_cell(
        f"# 03 Models: some\n\n**Products:** none. **Claims:** {text}"
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "03_models.ipynb")
    assert heads.read_heads(tmp_path) == [heads.Head("03_models", "Models: some", named)]


def test_a_notebook_without_a_head_is_named(tmp_path: Path) -> None:
    cell = nbformat.v4.new_markdown_cell("# 03 Models: some\n\nNo word on claims.")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "03_models.ipynb")
    with pytest.raises(ValueError, match=r"03_models.ipynb begins with .* its first cell needs"):
        heads.read_heads(tmp_path)


# Benchmarks


def test_the_best_of_a_sweep_is_compared_in_runs_that_did_not_choose_it() -> None:
    """Splits of equal speed under noise: their minimum is too small, a ratio of fresh runs is not."""
    rng, chosen, compared = np.random.default_rng(0), [], []
    for _ in range(200):
        splits = speedup.splits_of((100, 28), slowdown=4)
        assert list(splits) == [
            "plan",
            "equal",
            *(f"{slow}" for slow in range(0, 42, 4) if slow != 28),
        ]
        noisy = partial(rng.normal, 1.0, 0.05)
        times = speedup.in_turns(lambda shares, noisy=noisy: noisy(), splits, 2)
        best, ratios = speedup.over_best(lambda shares, noisy=noisy: noisy(), splits, times)
        assert best not in ("plan", "equal")
        assert len(ratios) == speedup.PAIRS
        chosen.append(np.median(times["plan"] / times[best]))
        compared.append(np.median(ratios))
    assert np.mean(chosen) > 1.03
    assert abs(np.mean(compared) - 1) < 0.01


def test_a_sweep_is_refined_around_its_best_split() -> None:
    def train(shares: tuple[int, ...]) -> float:
        return 1 + abs(shares[1] - 13.9) / 100

    splits = speedup.splits_of((100, 28), slowdown=4)
    times = speedup.in_turns(train, splits, 2)
    assert speedup.best_of(splits, times) == "12"
    finer, more = speedup.refined(train, splits, times, 2)
    assert finer.keys() - splits.keys() == {"10", "14"}
    assert speedup.best_of(finer, more) == "14"


def test_benchmark_rows_become_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        bench.Row("step", 0.123456789, 0.1, 0.2, 5, "<= 0.75", True),
        bench.Row("other", 3, 3, 3, 1),
    ]
    module = types.SimpleNamespace(run=lambda: rows)
    monkeypatch.setitem(sys.modules, "tests.bench.some", module)
    monkeypatch.setattr(bench_main, "groups", lambda: ["some"])
    assert bench_main.main([], tmp_path) == 0
    header, first, second = (tmp_path / "bench" / "some.csv").read_text().splitlines()
    assert header == "name,value,low,high,runs,goal,holds"
    assert first == "step,0.123457,0.1,0.2,5,<= 0.75,true"
    assert second == "other,3,3,3,1,,"
    assert "step   0.123457" in capsys.readouterr().out


def test_unknown_benchmark_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_main.main(["nothing"], tmp_path) == 2
    assert "no group nothing; there are: " in capsys.readouterr().err


# Code


@pytest.mark.parametrize("command", ["ruff check .", "ruff format --check .", "mypy"])
def test_tools_are_content(command: str) -> None:
    done = run(*command.split())
    assert done.returncode == 0, done.stdout + done.stderr


def test_library_stays_small() -> None:
    """A file holds one idea, so none is long; how many files there are does not matter."""
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / "hetlib").rglob("*.py")}
    assert lengths
    assert {path.name: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


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
    paths = (ROOT / "hetlib").rglob("*.py")
    dotted = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    modules = [name for name in dotted if not name.endswith(("__init__", "__main__"))]
    command = [sys.executable, "-c", f"{first}\n{PUBLIC_NAMES}", *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_and_its_help_are_cheap() -> None:
    code = (
        "import sys, hetlib_bundle.cli; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_unknown_public_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(importlib.import_module("hetlib"), "nothing")  # noqa: B009 -- mypy knows it is not there


def test_citation_names_the_letter_and_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["preferred-citation"]["doi"] == "10.1109/LGRS.2022.3173052"
    assert citation["version"] == PROJECT["version"]
