"""Data sets by name: the two embedded scenes, and image folders that the user has."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hetlib.datasets.eurosat import EuroSAT
from hetlib.datasets.images import ImageDataset
from hetlib.datasets.known import KNOWN
from hetlib.datasets.landcover import LandCoverScene
from hetlib.datasets.scenefolder import SceneFolder

DATA = Path(__file__).resolve().parents[2] / "data"  # embedded scenes


# Name: class, its settings, and what to look for in the folder HETLIB_DATA where no `root` is
# given.
DATASETS: dict[str, tuple[type[ImageDataset], dict[str, Any], Sequence[str]]] = {
    name: (
        LandCoverScene,
        {"image": DATA / f"{name}.tif", "labels": DATA / f"{name}_labels.tif"} | more,
        (),
    )
    for name, more in KNOWN["scenes"].items()
}


DATASETS |= {
    known["name"]: (EuroSAT, {"version": v}, known["places"])
    for v, known in KNOWN["eurosat"].items()
}


DATASETS |= {name: (SceneFolder, settings, (name,)) for name, settings in KNOWN["folders"].items()}


def load_dataset(name: str, split: str = "train", **options: Any) -> ImageDataset:
    """Open a data set by its name in ``DATASETS``; options, such as ``per_class=50``, go to its class."""
    if name not in DATASETS:
        raise ValueError(
            f"`name` must be one of {sorted(DATASETS)}, got {name!r}; other data: SceneFolder."
        )
    kind, settings, places = DATASETS[name]
    if places and options.get("root") is None:
        extra = os.getenv("HETLIB_DATA")
        if not (
            found := [Path(extra, place) for place in places if Path(extra, place).exists()]
            if extra
            else []
        ):
            raise FileNotFoundError(
                f"{name} needs `root=`, or one of {places} in the folder HETLIB_DATA names."
            )
        options["root"] = found[0]
    return kind(split=split, **settings | options)
