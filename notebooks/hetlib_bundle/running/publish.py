"""What the notebooks kept, copied to where the clone carries it."""

import re
import shutil
from pathlib import Path

from hetlib_bundle import claims, paths
from hetlib_bundle.kept.keeper import RECORDED, nbformat
from hetlib_bundle.profiles import get_profile

LIMIT = 5_000_000  # bytes of all records of a profile: a clone carries them


def publish(profile: str) -> list[Path]:
    """Copy what the notebooks kept in ``results/<profile>`` to ``data/recorded/<profile>``; return the copies.

    Claims whose notebook runs with further parameters have folders of their own, which are copied
    where they are.

    Raises:
        ValueError: An unknown profile, or more than `LIMIT` bytes.
        FileNotFoundError: Something that a notebook keeps is missing.
    """
    get_profile(profile)
    expected = _expected(paths.NOTEBOOKS)
    files = [Path(profile, "kept", name) for name in expected]
    if missing := [path.name for path in files if not (paths.RESULTS / path).exists()]:
        numbers = " ".join(f"--only {number}" for number in sorted({name[:2] for name in missing}))
        where = paths.RESULTS / profile / "kept"
        raise FileNotFoundError(
            f"{where} lacks {missing}; run: hetlib reproduce --profile {profile} {numbers}"
        )
    for folder, number in sorted(
        {(c.folder(profile).name, c.source["notebook"][:2]) for c in claims.load().values()}
    ):
        further = [Path(folder, "kept", name) for name in expected if name.startswith(number)]
        if folder != profile and all((paths.RESULTS / path).exists() for path in further):
            files += further
    sizes = {
        f"{path.parts[0]}/{path.name}": (paths.RESULTS / path).stat().st_size for path in files
    }
    if sum(sizes.values()) > LIMIT:
        raise ValueError(
            f"the records take {sum(sizes.values())} bytes, {sizes}; allowed are {LIMIT}: keep less."
        )
    for old in [*RECORDED.glob(f"{profile}/*.jsonl"), *RECORDED.glob(f"{profile}-*/*.jsonl")]:
        old.unlink()
    copies = [RECORDED / path.parts[0] / path.name for path in files]
    for path, copy in zip(files, copies, strict=True):
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(paths.RESULTS / path, copy)
    return copies


def _expected(notebooks: Path) -> list[str]:
    """Return the names of the files that the notebooks keep, as their cells name them."""
    names = []
    for path in sorted(notebooks.glob("[0-9][0-9]_*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        names += [
            f"{path.stem[:2]}_{name}.jsonl" for name in re.findall(r'\bkeep\("(\w+)"', source)
        ]
    return names
