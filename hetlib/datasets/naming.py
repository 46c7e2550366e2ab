"""Whether a data set and its options can be meant, and what it is called; no file is opened."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hetlib.datasets.catalog import DATASETS, OWN_FILES, YOUR_OWN, Known, find
from hetlib.datasets.images import ImageDataset
from hetlib.datasets.landcover import LandCoverScene
from hetlib.datasets.objects import FUNCTIONS, function_of
from hetlib.datasets.scenefolder import SceneFolder
from hetlib.errors import shown
from hetlib.owncode import check_options, is_own, load_own

# Options that would put other data in the place of those that a name stands for, by their class;
# class folders may lie anywhere, and a scene's classes are chosen among.
REPLACING: Mapping[type[ImageDataset], Sequence[str]] = {
    SceneFolder: ("classes",),
    LandCoverScene: ("image", "labels"),
}

# Endings of archives of a folder, which its name does not have.
ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")

# What a data set is opened with besides the options.
_GIVEN = ("split",)


def data_name(name: str, options: Mapping[str, Any]) -> str:
    """Return what data are called in progress lines, tables, records and maps.

    Args:
        name: As `load_dataset` takes it.
        options: The same.

    Returns:
        The name of the folder or file without its ending, or of the callable; else the name.

    >>> data_name("scene", {"image": "area/vienna.tif"})
    'vienna'
    """
    if is_own(name):
        return name.partition(":")[2]
    if name not in OWN_FILES or name in DATASETS:
        return name
    _, option = OWN_FILES[name]
    path = Path(os.fspath(options.get(option) or name)).resolve()
    if option == "image":
        return path.stem
    for ending in ARCHIVES:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.name


def check_dataset(name: object, options: Mapping[str, Any]) -> None:
    """Refuse a data set that is not known, or options that it does not take; no file is opened.

    Args:
        name: As `load_dataset` takes it.
        options: The same.

    Raises:
        ValueError: There is no such name, the code cannot be imported, or an option is unknown,
            missing, or puts other data in the place of those that the name stands for.
    """
    field = "dataset_options"
    _check_functions(field, options)
    if isinstance(name, str) and is_own(name):
        check_options(field, options, load_own("dataset", name), given=_GIVEN)
        return
    if not isinstance(name, str) or not {name} & {*DATASETS, *OWN_FILES}:
        raise ValueError(
            f"`dataset` is {shown(name)}; allowed are {sorted(DATASETS)}, and for {YOUR_OWN}."
        )
    known = find(name)
    supplied = [*known.settings]
    if known.places:
        supplied.append("root")
    check_options(field, options, known.kind, given=_GIVEN, supplied=supplied)
    _check_replacing(field, name, known, options)


def _check_functions(field: str, options: Mapping[str, Any]) -> None:
    """Refuse a function that is not named by text, or does not exist."""
    for key, value in options.items():
        if key in FUNCTIONS and value is not None and not isinstance(value, str):
            raise ValueError(
                f"`{field}` has {key!r}: {value!r}; name the function as 'module:callable', which "
                "other processes can import and a record can keep."
            )
        function_of(key, value)


def _check_replacing(field: str, name: str, known: Known, options: Mapping[str, Any]) -> None:
    """Refuse options that put other data in the place of those that a name stands for."""
    for replaced in REPLACING.get(known.kind, ()):
        if replaced in options and replaced in known.settings:
            own = "folder" if known.kind is SceneFolder else "scene"
            raise ValueError(
                f"`{field}` has {replaced!r}, and the {replaced} of {name!r} are known; for data "
                f"of your own give dataset={own!r} with its `dataset_options`."
            )
