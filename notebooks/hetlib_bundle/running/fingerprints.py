"""What a notebook is made from, as one number: the same number, the same results."""

import hashlib
from pathlib import Path

from hetlib_bundle.paths import DATA, NOTEBOOKS, RECORDED, ROOT


def fingerprint(notebook: Path, source: str) -> str:
    """Return a SHA-256 of all that a notebook is made from.

    That is: itself, the code that it calls, the register of claims, and the records if it draws
    them.

    Args:
        notebook: Its path.
        source: "computed" or "recorded".
    """
    files = [notebook, *code_files(), DATA / "claims.yaml"]
    if source == "recorded":
        files += sorted(RECORDED.rglob("*.jsonl"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def code_files() -> list[Path]:
    """Return the files of the library and of the bundle, those of all subfolders, in order."""
    found = []
    for folder in (ROOT / "hetlib", NOTEBOOKS / "hetlib_bundle"):
        for path in folder.rglob("*.*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found.append(path)
    return sorted(found)
