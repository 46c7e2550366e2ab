"""Files of the cache: written so that a full disk is an error, read so that damage is noticed."""

import errno
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

# Bytes of a file that are read at a time for its checksum.
PIECE = 1 << 20

# Bytes up to which a whole file is checked; of a larger one, as many in pieces all over it: a data
# set of many GB is not read whole each time that a process opens it.
CHECKED = 1 << 28

# What the system says where a folder takes no more, or nothing at all, or is none: a file has its
# name, or it lies where no folder can be made.
NO_PLACE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG),
    *(errno.EEXIST, errno.ENOTDIR, errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG),
)

# What the system says where it cannot reserve space in advance; it is then taken while writing.
_NOT_KNOWN = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class CacheError(OSError):
    """The cache cannot be written; the message says where, why, and what to do."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file and the reason where writing into the cache fails.

    Args:
        path: What is being written.

    Raises:
        CacheError: The disk is full, or the folder must not be written to.
    """
    try:
        yield
    except CacheError:
        raise
    except OSError as error:
        if error.errno not in NO_PLACE:
            raise
        raise CacheError(
            error.errno,
            f"The cache cannot be written: {error.strerror}; make room there, or name another "
            "folder by `cache=` or HETLIB_CACHE",
            str(path),
        ) from error


def reserve(path: Path, dtype: DTypeLike, shape: Sequence[int]) -> np.memmap:
    """Make an array in a file, filled with zeros, whose space on the disk is taken at once.

    A memory-mapped file that grows on a full disk would end the process by a signal.

    Args:
        path: The ``.npy`` file.
        dtype: Type of the numbers.
        shape: Of the array.

    Returns:
        The array, mapped for writing.

    Raises:
        CacheError: The disk has no space for it.
    """
    with writing(path):
        array = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), tuple(shape))
        if hasattr(os, "posix_fallocate") and array.nbytes:
            with path.open("r+b") as file:
                take_space(file.fileno(), path.stat().st_size)
    return array


def take_space(descriptor: int, size: int) -> None:
    """Take space on the disk for a file that is open; a disk that cannot do so takes it later.

    Args:
        descriptor: Of the file.
        size: Of the file, in bytes.

    Raises:
        OSError: There is not enough.
    """
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _NOT_KNOWN:
            raise


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array into a file.

    Args:
        path: The ``.npy`` file.
        array: What to write.

    Raises:
        CacheError: The disk has no space for it.
    """
    array = np.asarray(array)
    if array.size == 0:  # nothing that could be mapped
        with writing(path):
            np.save(path, array)
        return
    mapped = reserve(path, array.dtype, array.shape)
    mapped[...] = array
    mapped.flush()


def describe(path: Path) -> dict[str, Any]:
    """Return what an array's file must be when it is read again.

    Args:
        path: The ``.npy`` file.
    """
    return {"size": path.stat().st_size, "crc": checksum_of(path)}


def checksum_of(path: Path) -> int:
    """Return the CRC-32 of a file, or of pieces all over it where it is larger than `CHECKED`.

    Args:
        path: The file.
    """
    size = path.stat().st_size
    step = PIECE
    if size > CHECKED:
        step = size // (CHECKED // PIECE)

    crc = 0
    with path.open("rb") as file:
        for start in range(0, size, step):
            file.seek(start)
            crc = zlib.crc32(file.read(PIECE), crc)
    return crc


def sync(path: Path) -> None:
    """Have a file's content written to the disk.

    Args:
        path: The file.
    """
    with path.open("r+b") as file:
        os.fsync(file.fileno())


class Gaps:
    """Where images have no data, in a file that is there only if one has such pixels."""

    def __init__(self, path: Path, shape: tuple[int, ...]):
        """Begin without any.

        Args:
            path: The ``.npy`` file.
            shape: Of all images, (n, height, width, bands).
        """
        self.path = path
        self.shape = shape
        self.array: np.ndarray | None = None
        path.unlink(missing_ok=True)  # of a writer that began anew

    def put(self, i: int, gaps: np.ndarray | None) -> None:
        """Add pixels of an image that are no data.

        Args:
            i: Position of the image.
            gaps: True where there is no data; None where all are data.
        """
        if gaps is None or not gaps.any():
            return
        if self.array is None:
            self.array = reserve(self.path, bool, self.shape)
        self.array[i] |= gaps

    def of(self, chosen: slice) -> np.ndarray | None:
        """Return where some images have no data; None where no image has such pixels.

        Args:
            chosen: Positions of the images.
        """
        if self.array is None:
            return None
        return self.array[chosen]

    def close(self) -> None:
        """Let go of the file."""
        self.array = None
