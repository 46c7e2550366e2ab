"""Set before hetlib reads them: a cache of this run's own, one thread a process."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_cache = tempfile.TemporaryDirectory(prefix="hetlib-cache-")  # removed with this process
os.environ.setdefault("HETLIB_CACHE", _cache.name)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
os.environ.setdefault("MPLBACKEND", "agg")

import hetlib  # noqa: E402 -- it reads them

Team = Callable[..., hetlib.Replicas]


@pytest.fixture(scope="session")
def team() -> Iterator[Team]:
    """Warm replicas by their slow-downs, ``team(1, 4)``, started once for all tests.

    A test that kills one may use them, too: the next job starts fresh ones.
    """
    started: dict[tuple[float, ...], hetlib.Replicas] = {}

    def of(*slowdowns: float) -> hetlib.Replicas:
        if slowdowns not in started:
            platform = hetlib.Platform.emulated(slowdowns)
            started[slowdowns] = hetlib.Replicas(platform, timeout=20)
        return started[slowdowns]

    yield of
    for replicas in started.values():
        replicas.close()


@pytest.fixture(autouse=True)
def outside_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what looks like a notebook: widgets import it, and bars would be shown."""
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder named by ``HETLIB_DATA``, with data sets that the clone does not carry."""
    folder = os.environ.get("HETLIB_DATA", "")
    if not Path(folder).is_dir() or not folder:
        pytest.skip("HETLIB_DATA names no folder with more data sets")
    return Path(folder).resolve()
