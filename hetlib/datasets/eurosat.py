"""EuroSAT, in its two versions."""

from pathlib import Path
from typing import Any

from hetlib.datasets.known import KNOWN
from hetlib.datasets.scenefolder import SceneFolder
from hetlib.datasets.types import File


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
        known, root = KNOWN["eurosat"][version], Path(root)
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
        super().__init__(found[0], split, **{"band_names": known.get("band_names")} | options)
