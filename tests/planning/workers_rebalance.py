"""Functions that the tests of rebalancing run in replicas."""

import time
from collections import deque

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

import hetlib
from tests.workers import flat_gradient, make_data, make_model


def gradients_with_replans(
    rank: int,
    samples: int,
    shares: tuple[int, ...],
    replans: dict[int, tuple[int, ...]],
    ahead: int,
) -> tuple[list[np.ndarray], list[int]]:
    """Train an epoch, replanning after given numbers of steps; return gradients and local batches.

    ``ahead`` steps are read before they are used, as by a DataLoader with workers (which a replica
    cannot start).
    """
    images, labels = make_data(samples, 0)
    sampler = hetlib.BalancedSampler(samples, shares, seed=0)
    model = hetlib.balance(DistributedDataParallel(make_model(0)), sampler)
    reader, read = iter(sampler), deque[list[int]]()
    gradients: list[np.ndarray] = []
    sizes: list[int] = []
    while len(gradients) < len(sampler):
        while len(read) <= ahead and (indices := next(reader, None)) is not None:
            read.append(indices)
        batch = read.popleft()
        F.cross_entropy(model(images[batch]), labels[batch]).backward()
        gradients.append(flat_gradient(model.module).numpy().copy())
        sizes.append(len(batch))
        model.zero_grad()
        if len(gradients) in replans:
            sampler.replan(replans[len(gradients)])
    return gradients, sizes


def exchanged(
    rank: int, seconds: list[list[float]], shares: tuple[int, ...]
) -> tuple[list, list[list[float]]]:
    """Feed this replica's own column of ``seconds``; return what it decided and what it observed."""
    models = [hetlib.SpeedModel.constant(1000.0)] * len(shares)
    rebalancer = hetlib.Rebalancer(models, shares)
    seen: list[list[float]] = []
    observe = rebalancer.observe
    rebalancer.observe = lambda counts, values: (seen.extend(values), observe(counts, values))[1]  # type: ignore[method-assign]
    decided = []
    for row in seconds:
        decided.append(rebalancer.exchange(rebalancer.shares, row[rank]))
        time.sleep(0.001 * rank)
    torch.distributed.barrier()
    return decided, seen
