"""What a notebook is made from."""

from hetlib_bundle.paths import ROOT
from hetlib_bundle.running.fingerprints import code_files


def test_the_code_of_all_folders_counts() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in code_files()}
    assert names >= {
        "hetlib/__init__.py",
        "hetlib/balanced/weights.py",
        "notebooks/hetlib_bundle/paths.py",
        "notebooks/hetlib_bundle/claims/verdict.py",
        "notebooks/hetlib_bundle/running/page.html.j2",
    }
    assert not any("__pycache__" in name for name in names)
