"""Platforms from lists and files, and errors that say what is allowed."""

import json
import os
import sys

import numpy as np
import pytest
import torch

from hetlib.errors import MissingDependencyError
from hetlib.replicas.platform import Platform, Replica
from hetlib.replicas.processes import Replicas
from hetlib_bundle.paths import DATA


def test_emulated_and_round_trip():
    platform = Platform.emulated([1, 1, 4])
    assert len(platform) == 3
    assert [replica.name for replica in platform.replicas] == [
        "cpu",
        "cpu",
        "cpu/4",
    ]
    assert platform.nominal_speeds == (1.0, 1.0, 0.25)
    assert Platform.from_list(platform.to_list()) == platform


def test_yaml(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(
        "replicas:\n- {device: 'cuda:0', max_batch: 256}\n- {device: cpu, threads: 8, count: 2}\n"
    )
    platform = Platform.from_yaml(path)
    assert [replica.device for replica in platform.replicas] == [
        "cuda:0",
        "cpu",
        "cpu",
    ]
    assert platform.replicas[2].threads == 8


def test_every_example_platform_can_be_read():
    paths = (DATA / "platforms").glob("*.yaml")
    platforms = {path.stem: Platform.from_yaml(path) for path in paths}
    sizes = {
        "laptop": 2,
        "workstation": 2,
        "cpu-gpu-node": 2,
        "slurm-two-partitions": 4,
    }
    assert {name: len(platform) for name, platform in platforms.items()} == sizes
    assert platforms["workstation"].replicas[1].multiple == 8


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("replicas: []", "`replicas`"),
        ("devices: [1]", "`replicas`"),
        ("replicas: [cpu]", "replica 0"),
        ("replicas: [{device: tpu}]", "tpu"),
        ("replicas: [{slow: 2}]", "slow"),
        ("replicas: [{count: 0}]", "count"),
        ("replicas: [{threads: 0}]", "threads"),
        ("replicas: [{multiple: 1.5}]", "multiple"),
        ("replicas: [{slowdown: 0.5}]", "slow the others down"),
        ("replicas: [{device: cuda, slowdown: 2}]", "only a CPU replica"),
        ("replicas: [{max_batch: 0}]", "max_batch"),
        ("a: [", "no file of valid YAML"),
        ("", "`replicas`"),
        ("replicas: cpu", "`replicas` is 'cpu'"),
        ("replicas: {device: cpu}", "`replicas` is"),
        ("replicas: 3", "`replicas` is 3"),
        ("replicas: [{device: [cpu]}]", "replica 0: `device` is"),
        ("replicas: [{}, {threads: '4'}]", "replica 1: `threads` is '4'"),
        ("replicas: [{threads: 1000000000}]", "<= 4096"),
        ("replicas: [{slowdown: 1000000000}]", "<= 10000"),
        ("replicas: [{slowdown: .nan}]", "`slowdown` is nan"),
        ("replicas: [{slowdown: true}]", "`slowdown` is True"),
        ("replicas: [{count: 1000000000}]", "`count` is 1000000000"),
        ("replicas: [{count: 60000}, {count: 60000}]", "replica 1: `count` is 60000"),
        ("replicas: [{count: true}]", "`count` is True"),
        ("replicas: [{3: 4}]", "`replica 0` has the key 3"),
        ("replicas: [{device: cpu, device: cuda}]", "line 1: .*'device' is there twice"),
        ("replicas: [{device: 'cuda:128'}]", "`device` is 'cuda:128'"),
    ],
)
def test_bad_files_are_explained(tmp_path, content, word):
    path = tmp_path / "p.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"^platform file '{path}'.*{word}"):
        Platform.from_yaml(path)


def test_numbers_of_numpy_and_torch_are_kept_as_python_s():
    replica = Replica(threads=np.int64(2), slowdown=np.float32(4), max_batch=torch.tensor(8))
    assert replica == Replica(threads=2, slowdown=4.0, max_batch=8)
    assert [type(value) for value in (replica.threads, replica.slowdown)] == [int, float]
    assert Platform.emulated(np.array([1, 4])) == Platform.emulated([1, 4])
    json.dumps(Platform([replica]).to_list())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Platform.emulated(4), "`slowdowns` is 4"),
        (lambda: Platform.emulated("14"), "`slowdowns` is '14'"),
        (lambda: Platform.emulated([1, "4"]), r"`slowdowns\[1\]` is '4'"),
        (lambda: Platform.emulated([]), "`replicas` is empty"),
        (lambda: Platform(["cpu"]), r"`replicas\[0\]` is 'cpu'; .*from_list"),
        (lambda: Platform(Replica()), "`replicas` is Replica"),
        (lambda: Platform.from_list({"device": "cpu"}), "`replicas` is"),
        (lambda: Replica(device=0), "`device` is 0"),
        (lambda: Replica(device=""), "`device` is ''"),
        (lambda: Replica(max_batch=[8]), r"`max_batch` is \[8\]; it must be None or"),
        (lambda: Replica(multiple=8.0), "`multiple` is 8.0"),
    ],
)
def test_what_is_no_replica_is_explained(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_missing_file_and_missing_gpu(tmp_path):
    with pytest.raises(ValueError, match=r"platform file .*none\.yaml.*No such file"):
        Platform.from_yaml(tmp_path / "none.yaml")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="sees no GPU"):
            Replicas(Platform((Replica(device="cuda:0"),)))


def test_a_gpu_beyond_those_there_are_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    Replicas(Platform((Replica(device="cuda"), Replica(device="cuda:1"))))
    with pytest.raises(ValueError, match=r"replica 1 wants 'cuda:2', but torch sees 2 GPUs"):
        Replicas(Platform((Replica(), Replica(device="cuda:2"))))


def test_a_file_needs_the_package_that_reads_it(tmp_path, monkeypatch):
    path = tmp_path / "p.yaml"
    path.write_text("replicas: [{}]")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingDependencyError, match=r"package yaml.*\.\[cli\]"):
        Platform.from_yaml(path)


def test_more_threads_than_cores_are_contended_on_every_system(monkeypatch):
    platform = Platform((Replica(threads=3), Replica(threads=3), Replica(device="cuda")))
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert not platform.contended
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert platform.contended
