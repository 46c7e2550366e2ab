"""What the notebooks kept, copied to where the clone carries it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import nbformat

from hetlib.files import write_text
from hetlib_bundle import claims, paths
from hetlib_bundle.profiles import get_profile
from hetlib_bundle.studies.many.book import FOLDER

# Bytes of all records of a profile: a clone carries them.
LIMIT = 5_000_000


class _Kept(NamedTuple):
    """A file that a notebook kept, in the results and in the clone."""

    # Of results: the profile, and what else was asked.
    folder: str

    name: str

    @property
    def made(self) -> Path:
        return paths.RESULTS / self.folder / "kept" / self.name

    @property
    def copy(self) -> Path:
        return paths.RECORDED / self.folder / self.name


def publish(profile: str) -> list[Path]:
    """Copy what the notebooks kept in ``results/<profile>`` to ``data/recorded/<profile>``.

    Claims whose notebook runs with further parameters have folders of their own, which are copied
    where they are. Older records of the profile are removed.

    Args:
        profile: Size.

    Returns:
        The copies.

    Raises:
        ValueError: An unknown profile, or more than `LIMIT` bytes.
        FileNotFoundError: Something that a notebook keeps is missing.
    """
    get_profile(profile)
    names = _expected(paths.NOTEBOOKS)
    files = [_Kept(profile, name) for name in names]
    _check_complete(files, profile)
    files += _further(profile, names)
    _check_size(files)

    for pattern in (f"{profile}/*.jsonl", f"{profile}-*/*.jsonl"):
        for old in paths.RECORDED.glob(pattern):
            old.unlink()
    copies = [write_text(file.copy, file.made.read_text(encoding="utf-8")) for file in files]
    return copies + _publish_books(profile)


def _publish_books(profile: str) -> list[Path]:
    """Copy the books of `.studies.many` that have grown beyond those of the clone.

    They grow over sittings, also in the clone itself, so none is replaced by a shorter one.
    """
    copies = []
    for made in sorted((paths.RESULTS / profile / FOLDER).glob("*.jsonl")):
        text = made.read_text(encoding="utf-8")
        copy = paths.RECORDED / profile / FOLDER / made.name
        known = copy.read_text(encoding="utf-8") if copy.exists() else ""
        if text.count("\n") > known.count("\n"):
            copies.append(write_text(copy, text))
    return copies


def _expected(notebooks: Path) -> list[str]:
    """Return the names of the files that the notebooks keep, as their cells name them."""
    names = []
    for path in sorted(notebooks.glob("[0-9][0-9]_*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        for name in re.findall(r'\bkeep(?:\.more)?\("(\w+)"', source):
            names.append(f"{path.stem[:2]}_{name}.jsonl")
    return names


def _check_complete(files: Sequence[_Kept], profile: str) -> None:
    missing = [file.name for file in files if not file.made.exists()]
    if not missing:
        return
    numbers = sorted({name[:2] for name in missing})
    only = " ".join(f"--only {number}" for number in numbers)
    where = paths.RESULTS / profile / "kept"
    raise FileNotFoundError(
        f"{where} lacks {missing}; run: hetlib reproduce --profile {profile} {only}"
    )


def _further(profile: str, names: Sequence[str]) -> list[_Kept]:
    """Return what claims need beside the profile's own folder, as far as it was made."""
    asked = set()
    for claim in claims.load().values():
        folder = claim.folder(profile).name
        if folder != profile:
            asked.add((folder, claim.source["notebook"][:2]))

    found = []
    for folder, number in sorted(asked):
        files = [_Kept(folder, name) for name in names if name.startswith(number)]
        if all(file.made.exists() for file in files):
            found += files
    return found


def _check_size(files: Sequence[_Kept]) -> None:
    sizes = {f"{file.folder}/{file.name}": file.made.stat().st_size for file in files}
    total = sum(sizes.values())
    if total > LIMIT:
        raise ValueError(
            f"the records take {total} bytes, {sizes}; allowed are {LIMIT}: keep less."
        )
