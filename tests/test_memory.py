"""How much memory is free, by everyone who knows something of it."""

import sys

import pytest

from hetlib import memory

MEGABYTE = 10**6
MEMINFO = "MemTotal:   9000 kB\nMemAvailable:   3000 kB\n"
TWO = ("memory.max", "memory.current")
ONE = ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")


def write_group(folder, files, limit, used):
    for name, value in zip(files, (limit, used), strict=True):
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{value}\n")


@pytest.fixture
def group(monkeypatch, tmp_path):
    """A folder where control groups are looked for; nothing is in it."""
    folder = tmp_path / "group"
    folder.mkdir()
    monkeypatch.setattr(memory, "_CGROUP", folder)
    return folder


@pytest.fixture
def meminfo(group, monkeypatch, tmp_path):
    """A file that Linux would write on a machine without psutil and control group; not there."""
    file = tmp_path / "meminfo"
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.setattr(memory, "_MEMINFO", file)
    return file


@pytest.mark.parametrize("files", [TWO, ONE])
def test_free_memory_stays_within_the_control_group(group, files):
    assert memory.available_memory() > MEGABYTE
    write_group(group, files, 5000, 2000)
    assert memory.available_memory() == 3000
    write_group(group, files, 5000, 6000)
    assert memory.available_memory() == 0
    write_group(group, files, "max", 6000)
    assert memory.available_memory() > MEGABYTE


def test_free_memory_stays_within_the_limit_of_the_process(group, monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (MEGABYTE, MEGABYTE))
    assert memory.available_memory() == 0
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (2**60, 2**60))
    assert MEGABYTE < memory.available_memory() < 2**60


def test_psutil_tells_what_is_free(monkeypatch, tmp_path):
    pytest.importorskip("psutil")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "none")
    assert memory.available_memory() > MEGABYTE


def test_without_psutil_linux_tells_what_is_free(meminfo):
    meminfo.write_text(MEMINFO)
    assert memory.available_memory() == 3000 * 1024


@pytest.mark.skipif(not memory._MEMINFO.exists(), reason="of Linux")
def test_linux_and_psutil_tell_the_same():
    pytest.importorskip("psutil")
    by_psutil = memory._left_on_machine()
    by_linux = memory._left_by_meminfo()
    assert by_linux == pytest.approx(by_psutil, rel=0.2)


def test_nobody_may_know_what_is_free(meminfo):
    assert memory.available_memory() is None
    meminfo.write_text("MemTotal:   9000 kB\n")  # of an old kernel
    assert memory.available_memory() is None


def test_a_control_group_tells_where_nobody_knows_more(meminfo, group):
    write_group(group, TWO, 5000, 2000)
    assert memory.available_memory() == 3000
