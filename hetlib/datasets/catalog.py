"""Data sets by name: the three embedded scenes, image folders that the user has, and what is added.

A data set whose images lie in class folders is an entry in ``catalog.toml``. Any other is a file in
this folder: a class on top of :class:`~hetlib.datasets.images.ImageDataset`, and below it a line
that registers it. The file is imported with the package; nothing else is to be changed.

    register("potsdam", Potsdam, {"window": 32}, places=["potsdam.zip"])

What belongs to the reader alone needs no entry: ``"folder"`` is any tree of class folders,
``"scene"`` any raster with labels, ``"module:callable"`` any data set in code.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hetlib.datasets.eurosat import EuroSAT
from hetlib.datasets.images import ImageDataset
from hetlib.datasets.landcover import LandCoverScene
from hetlib.datasets.objects import OwnDataset, function_of, open_own
from hetlib.datasets.polygons import PolygonScene
from hetlib.datasets.scenefolder import SceneFolder
from hetlib.datasets.survey import Survey
from hetlib.errors import DatasetNotFoundError
from hetlib.inputs import one_of
from hetlib.owncode import is_own

# The embedded scenes: part of the clone, not of an installed wheel.
DATA = Path(__file__).resolve().parents[2] / "data"

CATALOG = Path(__file__).with_name("catalog.toml")

# Classes by the word that the catalog has for them.
KINDS: Mapping[str, type[ImageDataset]] = {
    "folders": SceneFolder,
    "scene": LandCoverScene,
    "eurosat": EuroSAT,
}

# Data sets of the reader's own files, by the word that stands in place of a name, and the option
# that names the file or folder, and so the data.
OWN_FILES: Mapping[str, tuple[type[ImageDataset], str]] = {
    "folder": (SceneFolder, "root"),
    "scene": (LandCoverScene, "image"),
    "polygons": (PolygonScene, "image"),
}

YOUR_OWN = (
    "your own files: 'folder' (class folders, `root=`), 'scene' (`image=`, `labels=`) or "
    "'polygons' (`image=`, `polygons=`); "
    "your own code: 'module:callable'"
)


class Known(NamedTuple):
    """A data set that is known by name.

    Attributes:
        kind: Its class.
        settings: Arguments of the class.
        places: What to look for in the folder ``HETLIB_DATA`` where no ``root`` is given.
    """

    kind: type[ImageDataset]
    settings: dict[str, Any]
    places: Sequence[str]


DATASETS: dict[str, Known] = {}


def register(
    name: str,
    kind: type[ImageDataset],
    settings: Mapping[str, Any] | None = None,
    places: Sequence[str] = (),
) -> None:
    """Make a data set known by name, to `load_dataset` and to experiments.

    A data set that has the name already is replaced.

    Args:
        name: The name.
        kind: Its class; it is called with ``split``, the settings and the caller's options.
        settings: Arguments of the class; the caller's options go before them.
        places: Files or folders to look for in the folder ``HETLIB_DATA``; the first one there is
            the argument ``root``. Nothing to look for: the class needs no ``root``.
    """
    DATASETS[name] = Known(kind, dict(settings or {}), places)


def load_dataset(
    name: str, split: str = "train", *, survey: Survey | None = None, **options: Any
) -> ImageDataset | OwnDataset:
    """Open a data set by its name.

    Args:
        name: One of ``DATASETS``; "folder" or "scene" for files of the reader's own; or
            ``module:callable``, see `hetlib.datasets.objects.open_own`.
        split: "train", "validation" or "test".
        survey: Of code of the reader's: what an earlier pass over its samples has found.
        options: Arguments of its class, such as ``per_class=50``; a function for ``transforms`` may
            be named as ``module:callable``.

    Returns:
        One split of the data set.

    Raises:
        ValueError: There is no such name, or the class does not allow an option.
        DatasetNotFoundError: The data set's files are not there.
    """
    given = {key: function_of(key, value) for key, value in options.items()}
    if is_own(name):
        return open_own(name, split, given, survey)
    known = find(name)
    given = known.settings | given
    if known.places and options.get("root") is None:
        given["root"] = find_root(name, known.places)
    if is_embedded(name, given):
        given |= find_scene(name)
    return known.kind(split=split, **given)


def find(name: str) -> Known:
    """Return what a name stands for, other than code of the reader's.

    Args:
        name: One of ``DATASETS`` or `OWN_FILES`.

    Raises:
        ValueError: There is no such name.
    """
    if name in DATASETS:
        return Known(*DATASETS[name])
    if name in OWN_FILES:
        kind, _ = OWN_FILES[name]
        return Known(kind, {}, ())
    raise ValueError(f"`name` must be one of {sorted(DATASETS)}, got {name!r}; {YOUR_OWN}.")


def is_scene(name: str) -> bool:
    """Return whether a name stands for windows of a scene with a raster of labels.

    Args:
        name: As `load_dataset` takes it.
    """
    return not is_own(name) and find(name).kind is LandCoverScene


def more_data() -> Path | None:
    """Return the folder of the user's data sets, which ``HETLIB_DATA`` names; None for none."""
    named = os.getenv("HETLIB_DATA")
    if not named:
        return None
    return Path(named)


def find_root(name: str, places: Sequence[str]) -> Path:
    """Return where a data set lies in the folder that ``HETLIB_DATA`` names.

    Args:
        name: Of the data set.
        places: Files or folders to look for, the best first.

    Raises:
        DatasetNotFoundError: None of them is there, or no folder is named.
    """
    folder = more_data()
    if folder is not None:
        for place in places:
            path = folder / place
            if path.exists():
                return path
    raise DatasetNotFoundError(
        f"{name} needs `root=`, or one of {places} in the folder HETLIB_DATA names."
    )


def scene_files(name: str, folder: Path) -> dict[str, Path]:
    """Return the paths of an embedded scene, by the arguments that they are.

    Args:
        name: Of the scene.
        folder: Where its two files lie.
    """
    return {"image": folder / f"{name}.tif", "labels": folder / f"{name}_labels.tif"}


def is_embedded(name: str, given: Mapping[str, Any]) -> bool:
    """Return whether arguments ask for an embedded scene, and not for files of the caller's own.

    Args:
        name: Of the data set.
        given: Arguments of its class.
    """
    files = scene_files(name, DATA)
    return all(given.get(role) == path for role, path in files.items())


def find_scene(name: str) -> dict[str, Path]:
    """Return the files of an embedded scene: of the clone, else of the folder ``HETLIB_DATA``.

    Args:
        name: Of the scene.

    Raises:
        DatasetNotFoundError: They are in neither.
    """
    folders = [folder for folder in (DATA, more_data()) if folder is not None]
    for folder in folders:
        files = scene_files(name, folder)
        if all(path.is_file() for path in files.values()):
            return files

    names = " and ".join(path.name for path in scene_files(name, DATA).values())
    raise DatasetNotFoundError(
        f"{name} is part of the clone, and not of an installed package: there is no {names} in "
        f"{DATA}; work in a clone, or copy both from its folder `data` into a folder and name it "
        "by HETLIB_DATA."
    )


def register_catalog(catalog: Path) -> None:
    """Register the entries of a catalog.

    Args:
        catalog: A TOML file; ``catalog.toml`` says what an entry holds.

    Raises:
        ValueError: An entry's kind is unknown.
    """
    entries = tomllib.loads(catalog.read_text(encoding="utf-8"))
    for name, entry in entries.items():
        kind = entry.pop("kind", "folders")
        one_of("kind", kind, KINDS)
        if kind == "scene":
            register(name, LandCoverScene, scene_files(name, DATA) | entry)
        else:
            places = entry.pop("places", (name,))
            register(name, KINDS[kind], entry, places)


register_catalog(CATALOG)
