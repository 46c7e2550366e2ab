"""Set before hetlib reads them: a cache of this run's own, one thread a process."""

import os
import tempfile
from pathlib import Path

import pytest

_cache = tempfile.TemporaryDirectory(prefix="hetlib-cache-")  # removed with this process
os.environ.setdefault("HETLIB_CACHE", _cache.name)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder named by ``HETLIB_DATA``, with data sets that the clone does not carry."""
    folder = os.environ.get("HETLIB_DATA", "")
    if not Path(folder).is_dir() or not folder:
        pytest.skip("HETLIB_DATA names no folder with more data sets")
    return Path(folder).resolve()
