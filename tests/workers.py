"""Functions that the tests run in replicas; a new process has to be able to import them."""

import os
import resource
import signal
import struct
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import hetlib
from hetlib.models.registry import build_model
from hetlib.replicas import worker
from hetlib.replicas.groups import subgroup


def make_data(samples: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(samples, 4, 16, 16, generator=generator, dtype=torch.float64)
    return images, torch.randint(0, 3, (samples,), generator=generator)


def make_model(seed: int) -> nn.Module:
    return build_model("smallcnn", bands=4, classes=3, size=16, seed=seed).double()


def flat_gradient(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def reduced_gradients(
    rank: int, cases: list[tuple[int, tuple[int, ...], int, bool]]
) -> list[list[np.ndarray]]:
    """Return the reduced gradient of every step of an epoch, for each case.

    A case is ``(samples, shares, seed, balanced)``.
    """
    results = []
    for samples, shares, seed, balanced in cases:
        images, labels = make_data(samples, seed)
        loader = hetlib.BalancedLoader(range(samples), shares, seed=seed)
        model = DistributedDataParallel(make_model(seed))
        steps = []
        for indices in loader:
            loss = F.cross_entropy(model(images[indices]), labels[indices])
            if balanced:
                hetlib.balance(loss, loader)
            loss.backward()
            steps.append(flat_gradient(model.module).numpy().copy())
            model.zero_grad()
        results.append(steps)
    return results


def whole_batch_gradients(samples: int, shares: tuple[int, ...], seed: int) -> list[np.ndarray]:
    """Return the same from one process that sees each global batch at once."""
    images, labels = make_data(samples, seed)
    sampler = hetlib.BalancedSampler(samples, shares, rank=0, seed=seed)
    model = make_model(seed)
    gradients = []
    for _, indices in sampler.steps():
        model.zero_grad()
        F.cross_entropy(model(images[indices]), labels[indices]).backward()
        gradients.append(flat_gradient(model).numpy().copy())
    return gradients


def die(rank: int, victim: int, signum: int) -> None:
    """End one replica while the others wait for it in a collective."""
    if rank == victim:
        os.kill(os.getpid(), signum)
    torch.distributed.barrier()


def fail(rank: int, victim: int) -> None:
    if rank == victim:
        raise KeyError("no such band")
    torch.distributed.barrier()


def square(rank: int, number: int) -> int:
    return rank + number**2


def page_faults(rank: int) -> int:
    """Return the page faults of ten steps that ask for 96 MB each and free it."""

    def step() -> None:
        blocks = [torch.ones(2**21) for _ in range(12)]
        blocks.clear()

    for _ in range(3):
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def process_id(rank: int) -> int:
    return os.getpid()


def may_use_gpus(rank: int) -> bool:
    """Return whether CUDA would work: torch refuses it in a fork of what has looked for it."""
    return not torch.cuda._is_in_bad_fork()


def miss_a_collective_and_stay(rank: int) -> None:
    """Replica 0 waits for a barrier that replica 1, alive, does not reach in time."""
    if rank == 0:
        torch.distributed.barrier()
    else:
        time.sleep(8)


def sleep(rank: int, seconds: float) -> int:
    time.sleep(seconds)
    return rank


def hold_the_interpreter(rank: int, seconds: float) -> int:
    """Compute in one call that lets no other thread run."""
    end = time.monotonic() + seconds
    numbers = list(range(1_000_000))
    while time.monotonic() < end:
        sorted(numbers, key=None, reverse=rank % 2 == 0)
    return rank


def compute_without_end(rank: int) -> None:
    """Take part in no collective."""
    while True:
        torch.ones(64, 64) @ torch.ones(64, 64)


def stop_in_a_message(rank: int) -> int:
    """Answer; replica 1 is stopped after the beginning of an answer."""
    if rank == 1:
        line = worker._line
        assert line is not None
        with line._lock:
            os.write(line._pipe.fileno(), struct.pack("!i", 10**6) + bytes(1000))
            os.kill(os.getpid(), signal.SIGSTOP)
    return rank


def reach_a_barrier_of_some(rank: int) -> None:
    """Meet again and again in a group of two of three."""
    group = subgroup((0, 1))
    while group is not None:
        torch.distributed.barrier(group)
    time.sleep(60)


def miss_a_collective_of_some(rank: int) -> None:
    """Replica 0 waits in a group for replica 1, which does not come."""
    group = subgroup((0, 1))
    if rank == 0:
        torch.distributed.barrier(group)
    time.sleep(60)


def raise_error(rank: int, kind: type[Exception]) -> None:
    raise kind("of the job")
