"""Functions that the tests of rebalancing run in replicas."""

import itertools
import time
from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

import hetlib
from tests.workers import flat_gradient, make_data, make_model

Shares = tuple[int, ...]


def gradients_with_replans(
    rank: int,
    samples: int,
    shares: Shares,
    replans: dict[int, Shares],
    ahead: int,
) -> tuple[list[np.ndarray], list[int]]:
    """Train an epoch, replanning after given numbers of steps; return gradients and local batches.

    ``ahead`` steps are read before they are used, as by a DataLoader with workers (which a replica
    cannot start).
    """
    images, labels = make_data(samples, 0)
    sampler = hetlib.BalancedSampler(samples, shares, seed=0)
    model = DistributedDataParallel(make_model(0))
    reader = iter(sampler)
    read = deque[list[int]]()
    gradients: list[np.ndarray] = []
    sizes: list[int] = []
    while len(gradients) < len(sampler):
        while len(read) <= ahead:
            indices = next(reader, None)
            if indices is None:
                break
            read.append(indices)
        batch = read.popleft()
        loss = F.cross_entropy(model(images[batch]), labels[batch])
        hetlib.balance(loss, count=len(batch)).backward()
        gradient = flat_gradient(model.module)
        gradients.append(gradient.numpy().copy())
        sizes.append(len(batch))
        model.zero_grad()
        if len(gradients) in replans:
            sampler.replan(replans[len(gradients)], reader.position.step)
    return gradients, sizes


class Watched(hetlib.Rebalancer):
    """Keeps what it observes."""

    def __init__(self, shares: Shares) -> None:
        models = [hetlib.SpeedModel.constant(1000.0)] * len(shares)
        super().__init__(models, shares)
        self.seen: list[list[float]] = []

    def observe(self, counts, seconds):
        self.seen.extend(seconds)
        return super().observe(counts, seconds)


def exchanged(
    rank: int, seconds: list[list[float]], shares: Shares
) -> tuple[list[Shares | None], list[list[float]]]:
    """Feed this replica's own column of seconds; return what it decided and observed."""
    rebalancer = Watched(shares)
    decided = []
    for row in seconds:
        changed = rebalancer.exchange(rebalancer.shares, row[rank])
        decided.append(changed)
        time.sleep(0.001 * rank)
    torch.distributed.barrier()
    return decided, rebalancer.seen


class Deals:
    """In place of a loader: deals endless steps of ones by shares, and notes the re-plans.

    Args:
        rank: Whose batches it deals.
        shares: Of all replicas.
    """

    def __init__(self, rank: int, shares: Shares) -> None:
        self.counts = shares
        self.epoch = 0
        self.step = -1
        self.changes: list[tuple[int, Shares]] = []
        self._rank = rank
        self._next = shares

    @property
    def shares(self) -> Shares:
        return self._next

    def replan(self, plan: Sequence[int], step: int | None = None, *, group: object = None) -> None:
        assert step is None  # the loader knows best what was read
        self._next = tuple(plan)
        self.changes.append((self.step, self._next))

    def batch(self) -> torch.Tensor:
        self.step += 1
        self.counts = self._next
        return torch.ones(self.counts[self._rank], 4)


def own_loop(
    rank: int,
    plan: hetlib.Partition,
    seconds: list[Shares],
    parts: int = 1,
) -> list[tuple[int, Shares]]:
    """Train a loop of one's own in which a sample takes some time; return the changes of shares.

    Args:
        rank: This replica.
        plan: Where it starts from.
        seconds: That a sample takes on each replica, step by step.
        parts: That a batch goes through in.
    """
    loader = Deals(rank, plan.shares)
    rebalancer = hetlib.Rebalancer(plan, loader)
    model = DistributedDataParallel(torch.nn.Linear(4, 2))
    for of_step in seconds:
        *early, last = loader.batch().tensor_split(parts)
        for part in early:
            with model.no_sync():
                passed(rebalancer, model, part, of_step[rank])
        passed(rebalancer, model, last, of_step[rank])
    return loader.changes


def trained_by_a_loader(
    rank: int, plan: hetlib.Partition, slow: int
) -> tuple[list[int], list[Shares], list[Shares]]:
    """Train two epochs of a data set while one replica is slow.

    Returns:
        The samples that this replica had, the counts of all steps, and the changes of shares.
    """
    data = torch.utils.data.TensorDataset(torch.arange(520.0))
    loader = hetlib.BalancedLoader(data, plan, seed=0)
    rebalancer = hetlib.Rebalancer(plan, loader)
    model = DistributedDataParallel(torch.nn.Linear(1, 2))
    seen: list[int] = []
    counts: list[Shares] = []
    changes: list[Shares] = []
    for _ in range(2):
        for (samples,) in loader:
            seen += samples.int().tolist()
            counts.append(loader.counts)
            time.sleep(len(samples) * (0.004 if rank == slow else 0.0005))
            loss = hetlib.balance(model(samples[:, None]).mean(), loader)
            changed = rebalancer.step(loss)
            if changed:
                changes.append(changed)
            loss.backward()
    return seen, counts, changes


def dealt_by_others(
    rank: int, plan: hetlib.Partition, shares: Shares, order: str
) -> tuple[Shares, Shares]:
    """Train on equal replicas whose loader deals by other shares than the plan's.

    Returns:
        The shares that it dealt by at first, and in the end.
    """
    data = torch.utils.data.TensorDataset(torch.arange(3200.0))
    first = hetlib.BalancedLoader(data, plan)
    first.replan(shares)
    loader = hetlib.BalancedLoader(data, plan)
    if order == "loaded first":
        loader.load_state_dict(first.state_dict())
    rebalancer = hetlib.Rebalancer(plan, loader)
    if order == "loaded after":
        loader.load_state_dict(first.state_dict())
    if order == "by hand":
        loader.replan(shares)
    model = DistributedDataParallel(torch.nn.Linear(1, 2))
    dealt: list[Shares] = []
    for (samples,) in itertools.islice(loader, 70):
        dealt.append(loader.counts)
        time.sleep(len(samples) * 0.001)
        loss = hetlib.balance(model(samples[:, None]).mean(), loader)
        rebalancer.step(loss)
        loss.backward()
    return dealt[0], dealt[-1]


def passed(
    rebalancer: hetlib.Rebalancer,
    model: torch.nn.Module,
    samples: torch.Tensor,
    seconds: float,
) -> None:
    """Let samples take their time, forward and backward."""
    time.sleep(len(samples) * seconds)
    loss = model(samples).sum()
    rebalancer.step(loss)
    loss.backward()
