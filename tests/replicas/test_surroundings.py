"""What the variables of a job say, and the interface that keeps gloo on this machine."""

import os
import socket

import pytest

from hetlib.replicas.job import JobReplicas
from hetlib.replicas.platform import Platform
from hetlib.replicas.surroundings import (
    Surroundings,
    keep_to_this_machine,
    surroundings,
)

JOB = {"RANK": "2", "WORLD_SIZE": "4", "MASTER_ADDR": "localhost"}
ALONE = Surroundings(in_job=False, rank=0, world_size=1, local_world_size=None)


@pytest.fixture(autouse=True)
def no_job(monkeypatch):
    for name in (*JOB, "LOCAL_WORLD_SIZE", "GLOO_SOCKET_IFNAME"):
        # setenv first, so that what a test sets is taken back too
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def set_all(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_a_process_alone_leads():
    assert surroundings() == ALONE
    assert surroundings().leads
    assert not surroundings().one_machine


def test_a_job_is_read_from_its_variables(monkeypatch):
    set_all(monkeypatch, JOB)
    found = surroundings()
    assert found == Surroundings(in_job=True, rank=2, world_size=4, local_world_size=None)
    assert not found.leads
    assert not found.one_machine
    monkeypatch.setenv("RANK", "0")
    assert surroundings().leads


@pytest.mark.parametrize(("local", "one_machine"), [("4", True), ("2", False)])
def test_a_job_is_on_one_machine_when_all_its_processes_are(monkeypatch, local, one_machine):
    set_all(monkeypatch, JOB | {"LOCAL_WORLD_SIZE": local})
    assert surroundings().local_world_size == int(local)
    assert surroundings().one_machine == one_machine


@pytest.mark.parametrize("missing", JOB)
def test_a_job_has_all_its_variables(monkeypatch, missing):
    set_all(monkeypatch, JOB)
    monkeypatch.delenv(missing)
    assert surroundings() == ALONE


def test_the_replicas_of_a_job_need_one():
    with pytest.raises(ValueError, match=r"belongs to no job.*start it by torchrun"):
        JobReplicas(Platform.emulated([1, 1]))


@pytest.mark.parametrize("name", ["lo", "lo0"])
def test_gloo_is_kept_to_the_loopback_of_linux_and_of_macos(monkeypatch, name):
    interfaces = [(1, "eth0"), (2, name), (3, "en0")]
    monkeypatch.setattr(socket, "if_nameindex", lambda: interfaces, raising=False)
    keep_to_this_machine()
    assert os.environ["GLOO_SOCKET_IFNAME"] == name


def test_an_interface_that_is_named_already_stays(monkeypatch):
    interfaces = [(1, "lo"), (2, "ib0"), (3, "ib1")]
    monkeypatch.setattr(socket, "if_nameindex", lambda: interfaces, raising=False)
    for named in ("ib0", "ib0,ib1"):
        monkeypatch.setenv("GLOO_SOCKET_IFNAME", named)
        keep_to_this_machine()
        assert os.environ["GLOO_SOCKET_IFNAME"] == named


def test_an_interface_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo")], raising=False)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "ib9")
    message = r"GLOO_SOCKET_IFNAME is 'ib9'; this machine has \['lo'\].*unset"
    with pytest.raises(ValueError, match=message):
        keep_to_this_machine()


def test_an_empty_name_is_no_interface(monkeypatch):
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo")], raising=False)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "")
    keep_to_this_machine()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"])
@pytest.mark.parametrize("text", ["a", "-1", "2.0"])
def test_a_variable_that_is_no_number_is_named(monkeypatch, name, text):
    set_all(monkeypatch, JOB | {"LOCAL_WORLD_SIZE": "2"})
    monkeypatch.setenv(name, text)
    with pytest.raises(ValueError, match=rf"environment variable {name} is '{text}'; it must be"):
        surroundings()


def test_gloo_chooses_where_no_loopback_has_a_known_name(monkeypatch):
    monkeypatch.setattr(
        socket,
        "if_nameindex",
        lambda: [(1, "ethernet_32769")],
        raising=False,
    )
    keep_to_this_machine()
    assert "GLOO_SOCKET_IFNAME" not in os.environ


def test_gloo_chooses_where_the_system_does_not_list_its_interfaces(monkeypatch):
    monkeypatch.delattr(socket, "if_nameindex", raising=False)
    keep_to_this_machine()
    assert "GLOO_SOCKET_IFNAME" not in os.environ
