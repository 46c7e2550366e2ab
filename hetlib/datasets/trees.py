"""Trees of image files, in a folder or an archive: which files are images, and their content.

Hidden files and folders are left out, as is what systems leave beside images. Links are followed.
Sizes are looked at before anything is read.
"""

import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from hetlib.datasets.memory import check_memory
from hetlib.errors import DatasetNotFoundError

TIFF = (".tif", ".tiff")

SUFFIXES = (".jpg", ".jpeg", ".png", *TIFF)

# Endings of files beside an image that say more about it: GDAL's metadata, and a mask.
SIDE_CARS = (".aux.xml", ".msk")

# Folders that systems make beside images: macOS in archives, network drives, Windows.
LEFT_BY_SYSTEMS = ("__macosx", "@eadir", "$recycle.bin", "system volume information")

# How TIFFs begin, of either byte order, and BigTIFFs; and other images: JPEG, PNG, and what is
# found under their names, GIF, WebP and BMP.
TIFF_BEGINNINGS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
BEGINNINGS = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"BM", *TIFF_BEGINNINGS)

# Bytes of the longest of them.
LONGEST = max(map(len, BEGINNINGS))

# A file larger than this is compared with memory, a member of an archive also with its bytes there:
# one that is so many times as large is a bomb, since images are hardly packed.
SUSPICIOUS = 1 << 26
RATIO = 100

_ENDINGS = "|".join(map(re.escape, SUFFIXES))

# Matches the whole of a path whose last part is an image's name and does not begin with a dot.
is_image = re.compile(rf"(.*/)?[^./][^/]*({_ENDINGS})", re.IGNORECASE | re.DOTALL).fullmatch


class Member(NamedTuple):
    """A file of a tree.

    Attributes:
        size: Of its content, in bytes.
        packed: Bytes that it takes in its archive; None where that is not known.
        open: Opens it.
    """

    size: int
    packed: int | None
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class Tree:
    """Images below one folder, or in an archive.

    Attributes:
        root: The folder or the archive.
        names: Of the images, from the root, sorted.
        files: Those that hold the images, by a name that is the same on every machine.
        members: Images and what lies beside them, by name.
    """

    root: Path
    names: list[str]
    files: dict[str, Path]
    members: Mapping[str, Member] = field(repr=False)

    def read(self, name: str) -> bytes:
        """Return the content of an image.

        Args:
            name: Of the image.

        Raises:
            ValueError: It is too large, or does not begin as an image does.
        """
        member = self.members[name]
        self._check_size(name, member)
        try:
            with member.open() as file:
                beginning = file.read(LONGEST)
                if not beginning.startswith(BEGINNINGS):
                    raise ValueError("it is no JPEG, PNG or TIFF")
                return beginning + file.read()
        except Exception as error:  # readers of archives raise anything
            raise self.unreadable(name, error) from error

    def beside(self, name: str) -> dict[str, bytes]:
        """Return the content of what lies beside an image, by the ending.

        Args:
            name: Of the image.

        Raises:
            ValueError: It is too large or cannot be read.
        """
        found = {}
        for ending in SIDE_CARS:
            member = self.members.get(name + ending)
            if member is None:
                continue
            self._check_size(name + ending, member)
            try:
                with member.open() as file:
                    found[ending] = file.read()
            except Exception as error:  # readers of archives raise anything
                raise self.unreadable(name + ending, error) from error
        return found

    def unreadable(self, name: str, error: object) -> ValueError:
        """Return the error of a file that cannot be read.

        Args:
            name: Of the file.
            error: What is wrong with it.
        """
        return ValueError(f"{self.root}: {name} cannot be read ({error}); replace or remove it.")

    def _check_size(self, name: str, member: Member) -> None:
        """Refuse a file that does not fit into memory, or that unpacks to far more than it is."""
        packed = member.packed
        if member.size <= SUSPICIOUS:
            return
        if packed is not None and member.size > RATIO * packed:
            said = f"it says that {packed:,} bytes unpack to {member.size:,}"
            raise self.unreadable(name, said)
        check_memory(f"{self.root}: {name}, {member.size:,} bytes,", member.size, "remove it")


# What is raised by an archive that is none, or a part of one.
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError)


def open_tree(root: Path) -> Tree:
    """List the images below a folder or in an archive, which is read without unpacking.

    Args:
        root: The folder, or a zip or tar, also a compressed one.

    Returns:
        The images' names and where they are.

    Raises:
        DatasetNotFoundError: ``root`` is neither a folder nor an archive.
        ValueError: An image is no ordinary file, or the archive is damaged.
    """
    if root.is_dir():
        return open_folder(root)
    try:
        if root.is_file() and zipfile.is_zipfile(root):
            return open_zip(root)
        if root.is_file() and tarfile.is_tarfile(root):
            return open_tar(root)
    except (OSError, EOFError, ValueError, *DAMAGED) as error:
        raise ValueError(f"{root} is a damaged archive ({error}); fetch it again.") from error
    raise DatasetNotFoundError(
        f"{root} must be the folder above the class folders, or a tar or zip of it."
    )


def resolved(root: str | os.PathLike[str]) -> Path:
    """Return where a path leads.

    Args:
        root: Of a folder or an archive.

    Raises:
        ValueError: It is a link that leads to itself.
    """
    try:
        return Path(root).resolve()
    except (RuntimeError, OSError) as error:
        raise ValueError(f"{root} leads nowhere ({error}); give the folder itself.") from None


def open_folder(root: Path) -> Tree:
    """List the images below a folder; linked folders are folders.

    Args:
        root: The folder.

    Raises:
        ValueError: An image is no ordinary file.
    """
    found = {}
    for path in walk(root):
        if is_wanted(path.name):
            found[path.relative_to(root).as_posix()] = path
    names = images_among(found)
    files = {name: found[name] for name in sorted(found) if belongs(name, names)}
    members = {name: member_of_folder(root, name, path) for name, path in files.items()}
    return Tree(root, sorted(names), files, members)


def walk(folder: Path, above: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    """Yield all files below a folder that are not hidden, and follow links, but not in circles.

    Args:
        folder: The folder.
        above: Device and number of each folder above it.
    """
    status = folder.stat()
    own = (status.st_dev, status.st_ino)
    if own in above:
        return
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if is_hidden(entry.name):
            continue
        if os.path.isdir(entry):  # noqa: PTH112 (a link to itself is none, and no error)
            yield from walk(folder / entry.name, (*above, own))
        else:
            yield folder / entry.name


def is_hidden(name: str) -> bool:
    """Return whether a part of a path is hidden, or a folder that a system left.

    Args:
        name: The part.
    """
    return name.startswith(".") or name.lower() in LEFT_BY_SYSTEMS


def is_shown(path: str) -> bool:
    """Return whether no part of a path in an archive is hidden.

    Args:
        path: As in the archive; ``./`` before it is nothing.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
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


def member_of_folder(root: Path, name: str, path: Path) -> Member:
    """Return a file of a folder.

    Args:
        root: The folder, for the message.
        name: Of the file, from the root.
        path: Of the file.

    Raises:
        ValueError: It is no ordinary file: a device, a pipe, or a link to nothing.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(
            f"{root}: {name} cannot be read ({error.strerror}); replace or remove it."
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{root}: {name} is no ordinary file; remove it.")
    opened: Callable[[], Any] = partial(path.open, "rb")
    return Member(status.st_size, None, opened)


def open_zip(root: Path) -> Tree:
    """List the images in a zip file, which stays open.

    Args:
        root: The file.
    """
    packed = zipfile.ZipFile(root)
    found = {}
    for info in packed.infolist():
        if not info.is_dir() and is_shown(info.filename) and is_wanted(info.filename):
            found[info.filename] = member_of_zip(packed, info)
    return Tree(root, sorted(images_among(found)), {"": root}, found)


def member_of_zip(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    """Return a file of a zip file.

    Args:
        packed: The zip file, opened.
        info: What it says of the file.
    """
    opened: Callable[[], Any] = partial(packed.open, info)
    return Member(info.file_size, info.compress_size, opened)


def open_tar(root: Path) -> Tree:
    """List the images in a tar file, which stays open; links in it are left out.

    Args:
        root: The file.
    """
    tar = tarfile.open(root)  # noqa: SIM115
    found = {}
    for info in tar:
        if info.isfile() and is_shown(info.name) and is_wanted(info.name):
            found[info.name] = member_of_tar(tar, info)
    return Tree(root, sorted(images_among(found)), {"": root}, found)


def member_of_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    """Return a file of a tar file.

    Args:
        tar: The tar file, opened.
        info: What it says of the file.
    """
    opened: Callable[[], Any] = partial(tar.extractfile, info)
    return Member(info.size, None, opened)
