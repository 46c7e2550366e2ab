"""The temporary folder of this process, which is removed with it, however it ends.

An owner holds a lock on a file in its folder. The system lets go of the lock when the owner is
gone, be it killed; then the workers that it leaves behind remove the folder, or the next owner
does. A folder without such a file is nobody's business.
"""

import os
import shutil
import sys
import tempfile
from multiprocessing.util import Finalize
from pathlib import Path
from typing import IO

# The file that the owner of a folder holds a lock on.
_OWNER = "owner"
_PREFIX = "hetlib-"

# Bytes of the longest path of a Unix socket, and of what lies between the folder for temporary
# files and a socket: hetlib-xxxxxxxx/pymp-xxxxxxxx/listener-xxxxxxxx.
_LONGEST_SOCKET = 107
_TO_A_SOCKET = 50

# Turn at the end of the process: after multiprocessing has removed its own folder in this one.
_LAST = -200

# Folder for temporary files in place of one whose name is too long.
_SHORT = "/tmp"


class _Folder:
    """A folder and the lock on it.

    Attributes:
        path: Of the folder.
        process: Number of the process that made it; one forked from that makes its own.
    """

    def __init__(self) -> None:
        """Make it, after those of owners that are gone were removed."""
        place = _place()
        sweep(place)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        self.process = os.getpid()
        self._lock = _own(self.path)
        Finalize(None, self.remove, exitpriority=_LAST)

    def remove(self) -> None:
        """Remove it, unless this is a process that was forked from the owner."""
        if self.process == os.getpid():
            shutil.rmtree(self.path, ignore_errors=True)


_folder: _Folder | None = None


def own_folder() -> Path:
    """Return the temporary folder of this process; the first call makes it."""
    global _folder  # noqa: PLW0603
    usable = _folder is not None and _folder.process == os.getpid() and _folder.path.is_dir()
    if not usable:
        _folder = _Folder()
    assert _folder is not None
    return _folder.path


def sweep(place: Path) -> None:
    """Remove the folders of owners that are gone, those of this user alone.

    Args:
        place: Folder that they lie in.
    """
    if sys.platform == "win32":
        return
    for owner in place.glob(f"{_PREFIX}*/{_OWNER}"):
        if _is_mine(owner.parent) and _is_left(owner):
            shutil.rmtree(owner.parent, ignore_errors=True)


def _place() -> Path:
    """Return the folder for temporary files, or a shorter one where no socket's path would fit."""
    place = tempfile.gettempdir()
    too_long = len(os.fsencode(place)) + _TO_A_SOCKET > _LONGEST_SOCKET
    if too_long and os.access(_SHORT, os.W_OK):
        return Path(_SHORT)
    return Path(place)


def _own(folder: Path) -> IO[str] | None:
    """Return the locked file of a new folder; None where the system has no such locks."""
    if sys.platform == "win32":
        return None
    import fcntl

    beside = folder / f".{_OWNER}"
    file = beside.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # a file system without locks: nobody may say that the owner is gone
        file.close()
        return None
    beside.rename(folder / _OWNER)  # which keeps the lock: nobody sees the file without it
    return file


def _is_mine(folder: Path) -> bool:
    try:
        return folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
    except OSError:
        return False


def _is_left(owner: Path) -> bool:
    """Say whether nobody holds the lock on this file any more."""
    import fcntl

    try:
        with owner.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held, or gone meanwhile
        return False
    return True
