"""The walls of the house: which folder may import which, and what the core may import at all."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hetlib_bundle.paths import NOTEBOOKS, ROOT

# A part of hetlib, and the parts that it may import. Those that all may import come first.
BASE = (
    "errors",
    "plain",
    "inputs",
    "containers",
    "reading",
    "files",
    "environment",
    "memory",
    "owncode",
    "randomness",
)
WALLS = {
    "errors": (),
    "plain": (),
    "inputs": ("errors", "plain"),
    "containers": ("errors",),
    "reading": ("errors", "inputs"),
    "files": (),
    "environment": (),
    "memory": (),
    "owncode": (),
    "randomness": (),
    "balanced": BASE,
    "replicas": BASE,
    "planning": (*BASE, "balanced", "replicas"),
    "datasets": BASE,
    "models": (*BASE, "balanced"),
    "training": (*BASE, "balanced", "replicas", "planning", "datasets", "models"),
    "mapping": (*BASE, "datasets", "models", "training"),
    "integrations": (*BASE, "balanced", "planning"),
    "cli": (*BASE, "balanced", "replicas", "planning", "datasets", "models", "training"),
}
BUNDLE_ORDER = ("paths", "profiles", "kept", "claims", "studies", "figures", "running")
BUNDLE_TOPS = ("cli", "study")  # of one level: neither imports the other
# The parts whose modules import torch and numpy alone.
CORE = (*BASE, "balanced", "replicas", "planning")


def modules(folder: Path) -> dict[str, ast.Module]:
    """The syntax trees of a package's files by their dotted names."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts)] = ast.parse(path.read_text(encoding="utf-8"))
    assert found
    return found


LIBRARY = modules(ROOT / "hetlib")
BUNDLE = modules(NOTEBOOKS / "hetlib_bundle")


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each import in a tree, also within functions: the module, and the name or ""."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ""
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: write imports in full"
            for alias in node.names:
                yield node.module or "", alias.name


def part_of(module: str) -> str:
    """The folder or file below the package that a module lies in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def parts_imported(tree: ast.AST, package: str) -> set[str]:
    found = set()
    for module, name in imports(tree):
        if module == package:
            found.add(name)
        elif module.startswith(f"{package}."):
            found.add(part_of(module))
    return found


@pytest.mark.parametrize("module", LIBRARY)
def test_imports_of_the_library_go_one_way(module: str) -> None:
    part = part_of(module)
    if part in ("__init__", "__main__"):
        return
    outside = parts_imported(LIBRARY[module], "hetlib") - {part}
    if part == "cli":
        outside = {name for name in outside if name.islower()}  # it uses the public names
        outside -= {"plan_experiment", "train"}
    assert outside <= set(WALLS[part])
    assert not parts_imported(LIBRARY[module], "hetlib_bundle")


def test_the_graph_for_contributors_has_every_arrow() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^  (\w+) --> (\w+)$", text, re.MULTILINE))
    found = set()
    for module, tree in LIBRARY.items():
        part = part_of(module)
        if part not in ("__init__", "__main__", *BASE):
            others = parts_imported(tree, "hetlib") - {part, "", *BASE}
            found |= {(part, other) for other in others}
    assert drawn == found
    assert [name for name in BASE if f"`{name}`" not in text] == []


@pytest.mark.parametrize("module", BUNDLE)
def test_imports_of_the_bundle_go_one_way(module: str) -> None:
    part = part_of(module)
    if part in ("__init__", "__main__"):
        return
    below = set(BUNDLE_ORDER)
    if part in BUNDLE_ORDER:
        below = set(BUNDLE_ORDER[: BUNDLE_ORDER.index(part)])
    assert parts_imported(BUNDLE[module], "hetlib_bundle") - {part} <= below
    assert part in (*BUNDLE_ORDER, *BUNDLE_TOPS)


@pytest.mark.parametrize("package", ["hetlib", "hetlib_bundle"])
def test_no_file_takes_part_in_a_circle(package: str) -> None:
    trees = LIBRARY if package == "hetlib" else BUNDLE
    arrows = {module: files_imported(trees, module) for module in trees}
    while arrows:
        free = [module for module, targets in arrows.items() if not targets & arrows.keys()]
        assert free, f"these import each other: {sorted(arrows)}"
        for module in free:
            del arrows[module]


def files_imported(trees: dict[str, ast.Module], module: str) -> set[str]:
    """Files of the same package that a file imports when it is imported itself."""
    top = ast.Module(body=[n for n in trees[module].body if not is_typing(n)], type_ignores=[])
    found = set()
    for node in top.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for target, name in imports(node):
                found |= {target, f"{target}.{name}"} & trees.keys()
    return found - {module}


def is_typing(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@pytest.mark.parametrize("module", [*LIBRARY, *BUNDLE])
def test_no_private_name_crosses_a_wall(module: str) -> None:
    tree = LIBRARY[module] if module in LIBRARY else BUNDLE[module]
    package = module.split(".", maxsplit=1)[0]
    for target, name in imports(tree):
        ours = target.startswith(("hetlib.", "hetlib_bundle."))
        same = target.startswith(f"{package}.") and part_of(target) == part_of(module)
        assert not (ours and not same and name.startswith("_")), f"{target}.{name}"


@pytest.mark.parametrize("module", [m for m in LIBRARY if part_of(m) in CORE])
def test_the_core_imports_torch_and_numpy_alone(module: str) -> None:
    """At their top; what a function needs beyond that it asks for, and names the extra."""
    allowed = {"torch", "numpy", "hetlib"} | sys.stdlib_module_names
    tops = [n for n in LIBRARY[module].body if isinstance(n, ast.Import | ast.ImportFrom)]
    wanted = {target.split(".")[0] for node in tops for target, _ in imports(node)}
    assert wanted <= allowed


def test_no_integration_is_imported() -> None:
    for module, tree in [*LIBRARY.items(), *BUNDLE.items()]:
        if part_of(module) != "integrations":
            assert "integrations" not in parts_imported(tree, "hetlib")


def test_no_file_is_named_as_a_public_function() -> None:
    import hetlib

    tops = {part_of(module) for module in LIBRARY}
    assert not tops & set(hetlib.__all__)


def test_nothing_is_formatted_by_hand() -> None:
    files = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    for name in files or [str(path) for path in (ROOT / "hetlib").rglob("*.py")]:
        if name != "tests/test_layout.py":
            text = (ROOT / name).read_text(encoding="utf-8")
            assert "fmt: skip" not in text, name
            assert "fmt: off" not in text, name
