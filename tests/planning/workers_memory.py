"""A plan under little memory, run in replicas."""

import torch
from torch import nn

import hetlib
from hetlib.planning import memory


def loss_of(network: nn.Module, n: int) -> torch.Tensor:
    return network(torch.ones(n, 10)).square().sum()


def most(free: float) -> int:
    """Return the samples of `planned`'s network that fit: it keeps input and output."""
    weights = 4 * 110
    of_a_sample = memory._PEAK * 4 * 20
    room = memory._USABLE * free / 2 - memory._COPIES * weights
    return int(room / of_a_sample)


def planned(rank: int, free: list[int]) -> hetlib.Partition:
    """Plan with so many bytes free on each replica."""
    before = memory.free_memory
    memory.free_memory = lambda device: free[rank]
    try:
        return hetlib.plan(nn.Linear(10, 10), torch.ones(4, 10), global_batch=64, seconds=0.2)
    finally:
        memory.free_memory = before
