"""EuroSAT, in its two versions."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hetlib.datasets import cache as store
from hetlib.datasets.scenefolder import SceneFolder
from hetlib.datasets.types import File, Names, Range, Shards, Transforms
from hetlib.errors import DatasetNotFoundError, require


@dataclass(frozen=True, kw_only=True)
class Release:
    """What is known of a version of EuroSAT.

    Attributes:
        url: Of the official archive.
        md5: Its checksum.
        folders: Those above the class folders, of the official release and of the older one.
        files: Pattern of the images below such a folder.
        band_names: Where the files do not name their bands.
    """

    url: str
    md5: str
    folders: tuple[str, ...]
    files: str
    band_names: tuple[str, ...] | None = None

    def archive(self) -> str:
        """Return the official archive's name."""
        return PurePosixPath(self.url).name


RELEASES: dict[str, Release] = {
    "rgb": Release(
        url="https://zenodo.org/records/7711810/files/EuroSAT_RGB.zip",
        md5="f46e308c4d50d4bf32fedad2d3d62f3b",
        folders=("EuroSAT_RGB", "2750"),
        files="*/*.jpg",
    ),
    "ms": Release(
        url="https://zenodo.org/records/7711810/files/EuroSAT_MS.zip",
        md5="091174add3c8e680a49244acf185b9f0",
        folders=("EuroSAT_MS", "ds/images/remote_sensing/otherDatasets/sentinel_2/tif"),
        files="*/*.tif",
        band_names=(
            "B01",
            "B02",
            "B03",
            "B04",
            "B05",
            "B06",
            "B07",
            "B08",
            "B09",
            "B10",
            "B11",
            "B12",
            "B8A",
        ),
    ),
}


class EuroSAT(SceneFolder):
    """EuroSAT (Helber et al., IEEE JSTARS, 2019): 64 x 64 pixels of Sentinel-2 in 10 classes."""

    def __init__(
        self,
        root: File = "data",
        split: str = "train",
        *,
        version: str = "rgb",
        download: bool = False,
        checksum: bool = False,
        bands: Names = None,
        band_names: Names = None,
        classes: Names = None,
        size: int | None = None,
        fractions: Sequence[float] = (0.6, 0.1, 0.3),
        groups: File | None = None,
        valid_range: Range = None,
        seed: int = 0,
        shards: Shards = False,
        transforms: Transforms = None,
        cache: File = store.CACHE,
    ):
        """Open one split.

        Args:
            root: Folder with the official release (or the older one), its archive or the class
                folders; or an archive of them.
            split: "train", "validation" or "test"; seeded, since the release defines none.
            version: "rgb": JPEG; or "ms": TIFF of 13 bands.
            download: Fetch the official archive (90 MB or 2 GB) into ``root`` when it is not there.
                What is fetched is always compared with its MD5.
            checksum: Compare an archive that is there with the official MD5, too.
            bands: Names of those to use; None is all.
            band_names: Names of all bands; None is those of the release.
            classes: Names of the class folders.
            size: Height and width of the images, in pixels.
            fractions: Of each class for training, validation and test.
            groups: CSV of files that come into one split.
            valid_range: Lowest and highest value that is data.
            seed: Draws the splits.
            shards: As for :class:`SceneFolder`.
            transforms: Applied to each item.
            cache: Folder of what is decoded.

        Raises:
            ValueError: There is no such version, the archive is another one than the official, or
                as for :class:`SceneFolder`.
            DatasetNotFoundError: ``root`` does not hold it, and ``download`` is not asked for.
        """
        if version not in RELEASES:
            raise ValueError(f"`version` must be 'rgb' or 'ms', got {version!r}.")
        release = RELEASES[version]
        place = find_release(release, Path(root))
        if place is None and download:
            place = fetch_release(release, Path(root))
        if place is None:
            raise DatasetNotFoundError(
                f"`root` is {str(root)!r}, without EuroSAT; give another, or `download=True`."
            )
        if checksum:
            check_archive(release, Path(root))
        if band_names is None:
            band_names = release.band_names
        super().__init__(
            place,
            split,
            bands=bands,
            band_names=band_names,
            classes=classes,
            size=size,
            fractions=fractions,
            groups=groups,
            valid_range=valid_range,
            seed=seed,
            shards=shards,
            transforms=transforms,
            cache=cache,
        )


def find_release(release: Release, root: Path) -> Path | None:
    """Return the folder above the class folders, or the archive; None where neither is there.

    Args:
        release: Which version.
        root: Where to look: a folder of the release, the folder itself, or an archive.
    """
    folders = [root / folder for folder in release.folders]
    for place in (*folders, root / release.archive(), root):
        if place.is_file() or any(place.glob(release.files)):
            return place
    return None


def check_archive(release: Release, root: Path) -> None:
    """Compare an archive that is there with the official one.

    Args:
        release: Which version.
        root: The archive, or the folder that it lies in.

    Raises:
        ValueError: It is another one.
        DatasetNotFoundError: There is none.
    """
    path = root if root.is_file() else root / release.archive()
    if not path.is_file():
        raise DatasetNotFoundError(
            f"`checksum=True` needs the archive {path}, which is not there: what was unpacked "
            "cannot be compared; leave `checksum` out, or fetch it anew with `download=True` into "
            "an empty `root`."
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest()
    if digest != release.md5:
        raise ValueError(
            f"{path} has the MD5 {digest}, not the official {release.md5}; remove it and fetch it "
            "with `download=True`."
        )


def fetch_release(release: Release, root: Path) -> Path:
    """Download the official archive and unpack it.

    Args:
        release: Which version.
        root: The folder to unpack into.

    Returns:
        The folder above the class folders.
    """
    tools = require("torchvision.datasets.utils", "vision")
    tools.download_and_extract_archive(release.url, str(root), md5=release.md5)
    return root / release.folders[0]
