"""A GPU a replica over NCCL: the gradient is that of one process on the CPU."""

import dataclasses
from collections.abc import Iterator

import torch.distributed as dist

import hetlib
from tests.balanced.situations import SITUATIONS, Situation
from tests.gpu import Result, Setting, attempt, judge, skipped
from tests.gpu.common import platform_of
from tests.gpu.exactness import chosen, one

CHECK = "nccl"


def run(setting: Setting) -> Iterator[Result]:
    expected = "gloo" if setting.dry else "nccl"
    compared = f"replicas, each on a GPU of its own, whose backend is not {expected}"
    if setting.gpus == 1:
        yield skipped(CHECK, compared, "needs two GPUs, there is one")
        return
    devices = devices_of(setting)
    with hetlib.Replicas(platform_of(devices), timeout=30) as pool:
        yield attempt(
            CHECK,
            compared,
            lambda: judge(CHECK, compared, count_others(pool, expected), at_most=0),
        )
        for name, situation in chosen(SITUATIONS).items():
            yield one(CHECK, pool, name, for_two(situation, devices))


def devices_of(setting: Setting) -> tuple[str, ...]:
    """Return two GPUs; in a dry run the CPU twice, over gloo."""
    if setting.dry:
        return ("cpu", "cpu")
    return ("cuda:0", "cuda:1")


def count_others(pool: hetlib.Replicas, expected: str) -> int:
    """Return how many replicas exchange their gradients by another backend."""
    return sum(backend != expected for backend in pool.run(backend_of))


def backend_of(_: int) -> str:
    return dist.get_backend()


def for_two(situation: Situation, devices: tuple[str, ...]) -> Situation:
    """Return a situation of three replicas without the one in the middle."""
    first, _, last = situation.shares
    parts = situation.parts
    if parts is not None:
        parts = (parts[0], parts[2])
    return dataclasses.replace(situation, shares=(first, last), parts=parts, devices=devices)
