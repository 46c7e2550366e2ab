"""Images in a zip or tar, also a compressed one, which is read without unpacking.

Links in it are followed to what the archive holds; one that leads elsewhere is an error.
"""

import lzma
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from hetlib.datasets.filenames import is_shown, is_wanted

# Links that lead to links are followed so far; more are a circle.
MOST_LINKS = 40

# How a zip begins, also one whose end, where its list of files is, is missing.
ZIP = b"PK\x03\x04"

# What readers raise of an archive that is none, or a part of one; RuntimeError where one wrong byte
# names a packing that zipfile does not know.
DAMAGED = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)

# A tar ends with blocks of zeros, of so many bytes.
BLOCK = 512


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


class Listed(NamedTuple):
    """What lies in an archive, hidden files and folders left out.

    Attributes:
        members: Images and what lies beside them, by name.
        folders: Names of folders, and of links that lead to no file of the archive.
    """

    members: dict[str, Member]
    folders: list[str]


def list_archive(root: Path) -> Listed | None:
    """List an archive, which stays open.

    Args:
        root: The file.

    Returns:
        What lies in it; None where it is no archive.

    Raises:
        ValueError: It is damaged, or an image in it is a link to something outside.
    """
    if not root.is_file():  # a device is read for ever
        return None
    try:
        if zipfile.is_zipfile(root):
            return list_zip(root)
        if tarfile.is_tarfile(root):
            return list_tar(root)
        if begins_as_zip(root):
            raise EOFError("its end is missing")
    except DAMAGED as error:
        if str(root) in str(error):  # said here, of a link
            raise
        raise ValueError(f"{root} is a damaged archive ({error}); fetch it again.") from error
    return None


def begins_as_zip(root: Path) -> bool:
    """Return whether a file begins as zips do.

    Args:
        root: The file.
    """
    with root.open("rb") as file:
        return file.read(len(ZIP)) == ZIP


def list_zip(root: Path) -> Listed:
    """List a zip file, which stays open.

    Args:
        root: The file.
    """
    packed = zipfile.ZipFile(root)
    separator = separator_of(packed.namelist())
    files = {}
    links = {}
    folders = []
    for info in packed.infolist():
        name = info.filename.replace(separator, "/")
        if name.endswith("/"):
            folders.append(name)
        elif stat.S_ISLNK(info.external_attr >> 16):
            links[name] = beside(name, packed.read(info).decode(errors="replace"))
        else:
            opened: Callable[[], Any] = partial(packed.open, info)
            files[name] = Member(info.file_size, info.compress_size, opened)
    return listed(root, files, links, folders)


def separator_of(names: list[str]) -> str:
    """Return what parts the folders of a zip: some programs of Windows write a backslash.

    Args:
        names: Of all files and folders in it.
    """
    if any("/" in name for name in names):
        return "/"
    return "\\"


def list_tar(root: Path) -> Listed:
    """List a tar file, which stays open.

    Args:
        root: The file.

    Raises:
        EOFError: The file is cut off.
    """
    tar = tarfile.open(root)  # noqa: SIM115
    files = {}
    links = {}
    folders = []
    for info in tar:
        if info.isdir():
            folders.append(info.name)
        elif info.issym():
            links[info.name] = beside(info.name, info.linkname)
        elif info.islnk():
            links[info.name] = info.linkname
        elif info.isfile():
            opened: Callable[[], Any] = partial(tar.extractfile, info)
            files[info.name] = Member(info.size, None, opened)
    check_end(tar)
    return listed(root, files, links, folders)


def check_end(tar: tarfile.TarFile) -> None:
    """Refuse a tar file that ends without its mark: whoever reads it to there sees no error.

    Args:
        tar: Opened, read to its end.

    Raises:
        EOFError: The mark is missing.
    """
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(BLOCK) != bytes(BLOCK):
        raise EOFError("it ends without its end mark: it is cut off")


def beside(name: str, target: str) -> str:
    """Return where a link leads, from the top of the archive.

    Args:
        name: Of the link.
        target: What it says.
    """
    return posixpath.join(posixpath.dirname(name), target)


def listed(
    root: Path,
    files: dict[str, Any],
    links: dict[str, Any],
    folders: list[str],
) -> Listed:
    """Leave out what is hidden or no image, and follow links.

    Args:
        root: The archive, for the message.
        files: All files, by name.
        links: Where links lead, by name.
        folders: Names of folders.

    Raises:
        ValueError: An image is a link to something outside.
    """
    targets: dict[str, Member | str] = {}
    for name, target in (files | links).items():
        targets[posixpath.normpath(name)] = target

    members = {name: member for name, member in files.items() if is_listed(name)}
    others = [name for name in folders if is_shown(name)]
    for name in filter(is_shown, links):
        found = follow(name, targets)
        if found is None and is_wanted(name):
            raise ValueError(
                f"{root}: {name} is a link to {links[name]}, which is not in the archive; pack it "
                "again with what links lead to (`tar --dereference`)."
            )
        if found is None:
            others.append(name)
        elif is_wanted(name):
            members[name] = found
    return Listed(members, others)


def is_listed(name: str) -> bool:
    """Return whether a file of an archive is an image or lies beside one, and is not hidden.

    Args:
        name: Of the file.
    """
    return is_shown(name) and is_wanted(name)


def follow(name: str, targets: Mapping[str, Member | str]) -> Member | None:
    """Return the file that a link leads to; None where there is none in the archive.

    Args:
        name: Of the link.
        targets: Files, and where links lead, by name.
    """
    found: Member | str | None = name
    for _ in range(MOST_LINKS):
        if not isinstance(found, str):
            return found
        found = targets.get(posixpath.normpath(found))
    return None
