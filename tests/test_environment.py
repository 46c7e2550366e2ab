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
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert environment.cores() == 6


def test_there_is_one_core_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert environment.cores() == 1


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
