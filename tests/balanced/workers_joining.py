"""Replicas that run out of batches at different times."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.algorithms.join import Join
from torch.nn.parallel import DistributedDataParallel

import hetlib
from tests.balanced.jobs import CLASSES, FEATURES, LABELS, mlp, numbers
from tests.balanced.workers_mistakes import message_of

EPOCHS = 2

# Sizes of the batches of each replica.
Sizes = tuple[tuple[int, ...], ...]


class WithBuffer(nn.Module):
    """A network with a buffer, which DDP sends before each pass."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = mlp(FEATURES, CLASSES)
        self.register_buffer("shift", torch.ones(FEATURES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x + self.shift)


def samples(rank: int, step: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = numbers(size, FEATURES, seed=100 * rank + step)
    labels = LABELS[(torch.arange(size) + rank + step) % len(LABELS)]
    # what the loss leaves out, where there is more than one
    labels = torch.where(torch.arange(size) % 3 == 1, -100, labels)
    return inputs, labels


def batches_of(rank: int, sizes: Sizes) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for step, size in enumerate(sizes[rank]):
        yield samples(rank, step, size)


def of_all(sizes: Sizes) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield what the replicas that are left have in each step, together."""
    for step in range(max(map(len, sizes))):
        left = [samples(rank, step, own[step]) for rank, own in enumerate(sizes) if step < len(own)]
        inputs, labels = zip(*left, strict=True)
        yield torch.cat(inputs), torch.cat(labels)


def weights_of(network: nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in network.parameters()])


def joined(rank: int, sizes: Sizes) -> torch.Tensor:
    """Train on batches of each replica's own number."""
    network = WithBuffer().double()
    model = DistributedDataParallel(network)
    counts = hetlib.JoinedCounts()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(EPOCHS):
        with Join([counts, model]):
            for inputs, labels in batches_of(rank, sizes):
                announced = counts.announce((labels >= 0).sum())
                loss = F.cross_entropy(model(inputs), labels)
                hetlib.balance(loss, count=announced).backward()
                optimizer.step()
                optimizer.zero_grad()
    return weights_of(network)


def alone(sizes: Sizes) -> torch.Tensor:
    network = WithBuffer().double()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(EPOCHS):
        for inputs, labels in of_all(sizes):
            F.cross_entropy(network(inputs), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
    return weights_of(network)


def refusals(rank: int) -> dict[str, str]:
    return {
        "not joined": message_of(hetlib.JoinedCounts().announce, 3),
        "not first": message_of(behind_the_model),
        "plain count": message_of(plain_count),
        "batchnorm": message_of(over_all, rank),
        "batchnorm, ended early": message_of(over_all, rank, throw_on_early_termination=True),
    }


def behind_the_model() -> None:
    model = DistributedDataParallel(nn.Linear(2, 1))
    counts = hetlib.JoinedCounts()
    with Join([model, counts]):
        counts.announce(3)


def plain_count() -> None:
    model = DistributedDataParallel(nn.Linear(2, 1))
    with Join([hetlib.JoinedCounts(), model]):
        hetlib.announce(3)


def over_all(rank: int, **options: Any) -> None:
    """Train BatchNorm over all replicas on batches in other numbers."""
    network = nn.Sequential(nn.Linear(FEATURES, 3), nn.BatchNorm1d(3)).double()
    model = DistributedDataParallel(hetlib.convert_batchnorm(network))
    with model.join(**options):
        for step in range(2 + rank):
            model(numbers(4, FEATURES, seed=step)).square().mean().backward()


def one_group(rank: int) -> torch.Tensor:
    """Sum counts over some of the replicas."""
    groups = [dist.new_group([0, 1]), dist.new_group([2])]
    group = groups[rank // 2]
    model = DistributedDataParallel(WithBuffer().double(), process_group=group)
    counts = hetlib.JoinedCounts(group)
    with Join([counts, model]):
        announced = counts.announce(1 + rank)
        model(numbers(2, FEATURES)).mean().backward()
    return announced.total()
