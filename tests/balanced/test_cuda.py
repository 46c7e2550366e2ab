"""The balanced gradient on GPUs, and on a GPU and CPUs in one job over gloo."""

import dataclasses

import pytest
import torch

import hetlib
from tests.balanced import workers

GPUS = torch.cuda.device_count() if torch.cuda.is_available() else 0
NAMES = [
    name for name, s in workers.SITUATIONS.items() if not (s.precision or s.compiled or s.hook)
]


def compare(devices: tuple[str, ...], tolerance: float) -> None:
    platform = hetlib.Platform(tuple(hetlib.Replica(device=device) for device in devices))
    cases = [dataclasses.replace(workers.SITUATIONS[name], devices=devices) for name in NAMES]
    with hetlib.Replicas(platform) as replicas:
        made = replicas.run(workers.many_make, cases)[0]
    for s, steps in zip(cases, made, strict=True):
        for found, expected in zip(steps, workers.one_process(s), strict=True):
            assert (found - expected).norm() / expected.norm() < tolerance, s


@pytest.mark.skipif(GPUS < 1, reason="needs a GPU")
def test_a_gpu_and_two_cpu_replicas_over_gloo():
    compare(("cuda:0", "cpu", "cpu"), 1e-10)


@pytest.mark.skipif(GPUS < 3, reason="needs three GPUs")
def test_a_gpu_a_replica_over_nccl():
    compare(("cuda:0", "cuda:1", "cuda:2"), 1e-10)
