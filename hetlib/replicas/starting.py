"""How worker processes start here, and what a script has to do so that they can."""

import contextlib
import multiprocessing as mp
import os
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from hetlib.replicas.caller import FOLDER
from hetlib.replicas.folder import own_folder
from hetlib.replicas.life import UNGUARDED
from hetlib.replicas.worker import is_worker

# Beginning of the names of worker processes.
NAME = "hetlib-replica-"

_PRELOAD = "hetlib.replicas.preload"


def way_to_start() -> Any:
    """Return the way in which processes start here, a context of `multiprocessing`.

    A server that has imported torch once forks each worker from itself: faster, and they share its
    memory. Forking this process instead hangs once it has run a multi-threaded operation. Where the
    server cannot have its socket, each worker is a new process that imports torch itself.
    """
    if sys.platform != "linux":
        return mp.get_context("spawn")
    context = mp.get_context("forkserver")
    context.set_forkserver_preload([_PRELOAD])
    try:
        with _sockets_in_own_folder():
            forkserver.ensure_running()
    except OSError:
        return mp.get_context("spawn")
    return context


@contextlib.contextmanager
def _sockets_in_own_folder() -> Iterator[None]:
    """Let multiprocessing put its sockets where their paths are short, and go with this process."""
    before = tempfile.tempdir
    folder = str(own_folder())
    tempfile.tempdir = folder
    os.environ[FOLDER] = folder
    try:
        yield
    finally:
        tempfile.tempdir = before
        del os.environ[FOLDER]


def refuse_without_guard() -> None:
    """End a worker that imports its caller's script, if that starts replicas as it is imported.

    The caller sees the exit code, and says what is missing. An error raised here would only appear
    between those of the other workers, and the script might catch it.
    """
    # a worker has its name before it imports anything, and a line to its caller after that
    if mp.current_process().name.startswith(NAME) and not is_worker():
        os._exit(UNGUARDED)


@contextlib.contextmanager
def importable_script() -> Iterator[None]:
    """Hide the name of a script that workers cannot import: one read from a pipe, or removed.

    They import the caller's script, so that they know the classes of it. Without one they start as
    those of an interactive session do.
    """
    main = sys.modules["__main__"]
    name = getattr(main, "__file__", None)
    is_module = getattr(getattr(main, "__spec__", None), "name", None) is not None
    if name is None or is_module or Path(name).exists():
        yield
        return
    del main.__file__
    try:
        yield
    finally:
        main.__file__ = name
