"""The machine and its versions, also where a system does not tell them as Linux does."""

import importlib.metadata
import os
import platform

import pytest
import torch

from hetlib import environment


def test_cores_are_those_that_this_process_may_use():
    assert 1 <= environment.cores() <= os.cpu_count()


def test_cores_are_those_of_the_machine_where_no_process_is_bound_to_some(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(environment, "_quota", lambda: None)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert environment.cores() == 6


def test_there_is_one_core_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert environment.cores() == 1


@pytest.mark.parametrize(
    ("files", "own", "expected"),
    [
        ({"cpu.max": "150000 100000"}, "0::/", 2),
        ({"cpu.max": "100000 100000"}, "0::/", 1),
        ({"cpu.max": "20000 100000"}, "0::/", 1),
        ({"cpu.max": "max 100000"}, "0::/", 8),
        ({"cpu.max": "900000 100000"}, "0::/", 8),
        (
            {"a.slice/b/cpu.max": "max 100000", "a.slice/cpu.max": "300000 100000"},
            "0::/a.slice/b",
            3,
        ),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, "", 4),
        (
            {"cpu/job/cpu.cfs_quota_us": "50000", "cpu/job/cpu.cfs_period_us": "10000"},
            "3:memory:/job\n4:cpu,cpuacct:/job",
            5,
        ),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "", 8),
        ({"cpu.max": ""}, "0::/../outside", 8),
    ],
)
def test_a_quota_of_a_container_counts(monkeypatch, tmp_path, files, own, expected):
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    (tmp_path / "own").write_text(own)
    monkeypatch.setattr(environment, "_CGROUP", tmp_path)
    monkeypatch.setattr(environment, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert environment.cores() == expected


def test_versions_are_those_of_the_packages_that_are_installed(monkeypatch):
    found = environment.versions()
    assert found["torch"] == importlib.metadata.version("torch")
    assert set(found) <= set(environment.PACKAGES)
    monkeypatch.setattr(environment, "PACKAGES", ("torch", "no-such-package-of-ours"))
    assert list(environment.versions()) == ["torch"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "processor : 0\nmodel name\t: A chip @ 2 GHz\nflags : a b\n",
            "A chip @ 2 GHz",
        ),
        ("processor : 0\nBogoMIPS : 50\n", platform.machine()),  # as on ARM
    ],
)
def test_the_processor_has_its_name_or_its_architecture(monkeypatch, tmp_path, content, expected):
    path = tmp_path / "cpuinfo"
    path.write_text(content)
    monkeypatch.setattr(environment, "_PROCESSORS", path)
    assert environment.processor() == expected


def test_the_processor_is_its_architecture_where_no_file_tells(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "_PROCESSORS", tmp_path / "none")
    assert environment.processor() == platform.machine()


def test_the_environment_names_what_a_result_depends_on():
    found = environment.environment()
    assert next(iter(found)) == "python"
    assert found["python"] == platform.python_version()
    assert found["cores"] == environment.cores()
    assert found["torch"] == torch.__version__.partition("+")[0]
    assert (found["gpu"] == "none") != torch.cuda.is_available()
    assert list(found)[-4:] == ["system", "processor", "gpu", "cores"]
