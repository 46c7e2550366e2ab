"""Trees of image files, in a folder or an archive: which files are images, and their content.

Hidden files and folders are left out, as is what systems leave beside images. Links are followed.
Sizes are looked at before anything is read.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from hetlib.datasets.archives import Member, list_archive
from hetlib.datasets.filenames import SIDE_CARS, belongs, images_among, is_hidden, is_wanted
from hetlib.datasets.memory import check_memory
from hetlib.errors import DatasetNotFoundError

# How TIFFs begin, of either byte order, and BigTIFFs; JPEG 2000 as a file, and as bare data; and
# other images: PGM and PPM, JPEG, PNG, GIF, WebP and BMP.
TIFF_BEGINNINGS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
JPEG_2000 = (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51")
PNM = (b"P5", b"P6")
FLAT = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"BM")
BEGINNINGS = (*FLAT, *JPEG_2000, *PNM, *TIFF_BEGINNINGS)

# What begins so, in words.
KINDS = "JPEG, PNG, TIFF, GIF, WebP, BMP, JPEG 2000, PGM or PPM"

# Bytes of the longest of them.
LONGEST = max(map(len, BEGINNINGS))

# A file larger than this is compared with memory, a member of an archive also with its bytes there:
# one that is so many times as large is a bomb, since images are hardly packed.
SUSPICIOUS = 1 << 26
RATIO = 100


@dataclass(frozen=True)
class Tree:
    """Images below one folder, or in an archive.

    Attributes:
        root: The folder or the archive.
        names: Of the images, from the root, sorted.
        files: Those that hold the images, by a name that is the same on every machine.
        members: Images and what lies beside them, by name.
        folders: Names of folders from the root, and of links that lead nowhere.
    """

    root: Path
    names: list[str]
    files: dict[str, Path]
    members: Mapping[str, Member] = field(repr=False)
    folders: list[str] = field(repr=False)

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
                    raise ValueError(f"it is no {KINDS}")
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
    listed = list_archive(root)
    if listed is not None:
        names = sorted(images_among(listed.members))
        return Tree(root, names, {"": root}, listed.members, listed.folders)
    raise DatasetNotFoundError(
        f"`root` is {root}; it must be the folder above the class folders, or a tar or zip of it."
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
    folders = []
    for path, is_folder in walk(root):
        name = path.relative_to(root).as_posix()
        if is_folder:
            folders.append(name)
        elif is_wanted(path.name):
            found[name] = path
    names = images_among(found)
    files = {name: found[name] for name in sorted(found) if belongs(name, names)}
    members = {name: member_of_folder(root, name, path) for name, path in files.items()}
    return Tree(root, sorted(names), files, members, folders)


class Found(NamedTuple):
    """What lies in a folder.

    Attributes:
        path: Of the file or folder.
        is_folder: Whether it is a folder, or a link to what may have been one.
    """

    path: Path
    is_folder: bool


def walk(folder: Path, above: tuple[tuple[int, int], ...] = ()) -> Iterator[Found]:
    """Yield all below a folder that is not hidden, and follow links, but not in circles.

    Args:
        folder: The folder.
        above: Device and number of each folder above it.
    """
    above = (*above, number_of(folder))
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if is_hidden(entry.name):
            continue
        path = folder / entry.name
        if not os.path.isdir(entry):  # noqa: PTH112 (a link to itself is none, and no error)
            yield Found(path, leads_nowhere(path, entry))
        elif number_of(path) not in above:
            yield Found(path, is_folder=True)
            yield from walk(path, above)


def number_of(folder: Path) -> tuple[int, int]:
    """Return what a folder is known by, whatever its names: device and number.

    Args:
        folder: The folder.
    """
    status = folder.stat()
    return (status.st_dev, status.st_ino)


def leads_nowhere(path: Path, entry: os.DirEntry[str]) -> bool:
    """Return whether a link whose name is no file's leads to nothing: a class may be missing.

    Args:
        path: Of the link.
        entry: Of its folder.
    """
    if not entry.is_symlink() or PurePosixPath(entry.name).suffix:
        return False
    return not path.exists()


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
