"""Data sets by name: the two embedded scenes, and image folders that the user has."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from .images import File, ImageDataset
from .landcover import LandCoverScene
from .scenefolder import SceneFolder

DATA = Path(__file__).resolve().parents[1] / "data"  # embedded scenes
_KNOWN = yaml.safe_load(Path(__file__).with_name("known.yaml").read_text())


class EuroSAT(SceneFolder):
    """EuroSAT (Helber et al., IEEE JSTARS, 2019): Sentinel-2 images of 64 x 64 pixels in 10 classes."""

    def __init__(
        self,
        # folder with the official release (or the older one) or the class folders; an archive
        root: File = "data",
        split: str = "train",  # seeded, since the release defines none
        *,
        version: str = "rgb",  # JPEG, or "ms": 13 bands
        # fetch the official archive (90 MB or 2 GB) into `root` when it is not there
        download: bool = False,
        **options: Any,  # as for SceneFolder
    ):
        if version not in ("rgb", "ms"):
            raise ValueError(f"`version` must be 'rgb' or 'ms', got {version!r}.")
        known, root = _KNOWN["eurosat"][version], Path(root)
        places = [*(root / folder for folder in known["folders"]), root]
        found = [place for place in places if place.is_file() or any(place.glob(known["files"]))]
        if not found and download:
            from torchvision.datasets.utils import download_and_extract_archive

            download_and_extract_archive(known["url"], str(root), md5=known["md5"])
            found = places
        if not found:
            raise FileNotFoundError(
                f"`root` is {str(root)!r}, without EuroSAT; give another, or `download=True`."
            )
        super().__init__(found[0], split, **{"band_names": known["band_names"]} | options)


# Name: class, its settings, and what to look for in the folder HETLIB_DATA where no `root` is
# given.
DATASETS: dict[str, tuple[type[ImageDataset], dict[str, Any], Sequence[str]]] = {
    name: (
        LandCoverScene,
        {"image": DATA / f"{name}.tif", "labels": DATA / f"{name}_labels.tif"} | more,
        (),
    )
    for name, more in _KNOWN["scenes"].items()
}
DATASETS |= {
    known["name"]: (EuroSAT, {"version": v}, known["places"])
    for v, known in _KNOWN["eurosat"].items()
}
DATASETS |= {name: (SceneFolder, settings, (name,)) for name, settings in _KNOWN["folders"].items()}


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
