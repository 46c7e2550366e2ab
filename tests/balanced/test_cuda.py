"""The balanced gradient on GPUs, and on a GPU and CPUs in one job over gloo."""

import dataclasses

import pytest
import torch

import hetlib
from tests.balanced import workers
from tests.balanced.situations import SITUATIONS

GPUS = torch.cuda.device_count() if torch.cuda.is_available() else 0


def compare(devices: tuple[str, ...], tolerance: float) -> None:
    """Compare the situations in float64 without hooks and compilers with one process."""
    cases = []
    for s in SITUATIONS.values():
        if not (s.precision or s.compiled or s.hook):
            cases.append(dataclasses.replace(s, devices=devices))
    replicas = tuple(hetlib.Replica(device=device) for device in devices)
    with hetlib.Replicas(hetlib.Platform(replicas)) as pool:
        made = pool.run(workers.many_make, cases)[0]
    for s, steps in zip(cases, made, strict=True):
        whole = workers.one_process(s)
        for found, expected in zip(steps, whole, strict=True):
            error = (found - expected).norm() / expected.norm()
            assert error < tolerance, s


@pytest.mark.skipif(GPUS < 1, reason="needs a GPU")
def test_a_gpu_and_two_cpu_replicas_over_gloo():
    compare(("cuda:0", "cpu", "cpu"), 1e-10)


@pytest.mark.skipif(GPUS < 3, reason="needs three GPUs")
def test_a_gpu_a_replica_over_nccl():
    compare(("cuda:0", "cuda:1", "cuda:2"), 1e-10)
