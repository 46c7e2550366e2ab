"""Which files of a tree are images or lie beside one, and which are left out, by their names."""

import re
from collections.abc import Mapping

TIFF = (".tif", ".tiff")

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", *TIFF),
    *(".jpe", ".jfif", ".jp2", ".bmp", ".gif", ".webp", ".ppm", ".pgm"),
)

# Endings of files beside an image that say more about it: GDAL's metadata, and a mask.
SIDE_CARS = (".aux.xml", ".msk")

# Folders that systems make beside images: macOS in archives, network drives, Windows, Linux on each
# disk, and Python.
LEFT_BY_SYSTEMS = (
    *("__macosx", "@eadir", "$recycle.bin", "system volume information"),
    *("lost+found", "__pycache__"),
)

_ENDINGS = "|".join(map(re.escape, SUFFIXES))

# Matches the whole of a path whose last part is an image's name and does not begin with a dot.
is_image = re.compile(rf"(.*/)?[^./][^/]*({_ENDINGS})", re.IGNORECASE | re.DOTALL).fullmatch


def is_hidden(name: str) -> bool:
    """Return whether a part of a path is hidden, or a folder that a system left.

    Args:
        name: The part.
    """
    return name.startswith(".") or name.lower() in LEFT_BY_SYSTEMS


def is_shown(path: str) -> bool:
    """Return whether no part of a path in an archive is hidden.

    Args:
        path: As in the archive; ``./`` and ``../`` in it are nothing, as nothing is unpacked.
    """
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return not any(map(is_hidden, parts))


def is_wanted(name: str) -> bool:
    """Return whether a file is an image, or lies beside one, by its name.

    Args:
        name: Of the file.
    """
    return is_image(image_of(name)) is not None


def image_of(name: str) -> str:
    """Return the name of the image that a file belongs to: its own, but for side-cars.

    Args:
        name: Of the file.
    """
    for ending in SIDE_CARS:
        name = name.removesuffix(ending)
    return name


def images_among(names: Mapping[str, object]) -> set[str]:
    """Return which files are images themselves.

    Args:
        names: Of images and of what lies beside them.
    """
    return {name for name in names if is_image(name)}


def belongs(name: str, images: set[str]) -> bool:
    """Return whether a file is an image or lies beside one of them.

    Args:
        name: Of the file.
        images: Names of the images.
    """
    return image_of(name) in images
