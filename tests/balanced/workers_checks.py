"""Right jobs with BatchNorm, and what the check of their first gradient says."""

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import hetlib
from tests.balanced.jobs import CLASSES, FEATURES, INPUTS, LABELS
from tests.balanced.workers_mistakes import message_of

# samples of a part
MOST = 3


def network(*norms: nn.Module) -> nn.Module:
    """Return a network with layers between its first and its last one."""
    torch.manual_seed(0)
    first = nn.Linear(FEATURES, 5)
    return nn.Sequential(first, *norms, nn.Tanh(), nn.Linear(5, CLASSES)).double()


def whole(model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(model(INPUTS[indices]), LABELS[indices])


def by_parts(model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
    """Return the same loss, of passes of a few samples each."""
    losses = [whole(model, part) * len(part) for part in indices.split(MOST)]
    return torch.stack(losses).sum() / len(indices)


def step(model: Any, loader: Any, indices: torch.Tensor, loss_of: Callable[..., Any]) -> None:
    """Take the backward passes of a step, in parts where the loss is taken so."""
    parts = [indices] if loss_of is whole else indices.split(MOST)
    for part in parts[:-1]:
        with model.no_sync():
            hetlib.balance(whole(model, part), loader, samples=len(part)).backward()
    last = parts[-1]
    hetlib.balance(whole(model, last), loader, samples=len(last)).backward()


def checked(
    net: nn.Module,
    loss_of: Callable[..., Any] = whole,
    shares: tuple[int, ...] = (7, 4),
    repeated: Callable[..., Any] | None = None,
    is_balanced: bool = True,
) -> list[str]:
    """Check a first gradient; return the error's message and those of warnings."""
    model = DistributedDataParallel(net)
    loader = hetlib.BalancedLoader(range(len(INPUTS)), shares, seed=1)
    indices = next(iter(loader))
    if is_balanced:
        step(model, loader, indices, loss_of)
    else:
        whole(model, indices).backward()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        message = message_of(
            hetlib.check_gradient, model, repeated or loss_of, indices, loader=loader
        )
    return [message, *[str(warning.message) for warning in caught]]


def half_over_all() -> nn.Module:
    over_all = hetlib.convert_batchnorm(nn.BatchNorm1d(5))
    return network(over_all, nn.BatchNorm1d(5))


def frozen() -> nn.Module:
    net = network(nn.BatchNorm1d(5))
    net[1].eval()
    return net


def right(rank: int) -> dict[str, list[str]]:
    """Check right jobs."""
    without = nn.BatchNorm1d(5, track_running_stats=False, affine=False)
    return {
        "each its own": checked(network(nn.BatchNorm1d(5))),
        "without running statistics": checked(network(without)),
        "an empty share": checked(network(nn.BatchNorm1d(5)), shares=(9, 0)),
        "in parts": checked(network(nn.BatchNorm1d(5)), by_parts, (6, 9)),
        "half of them over all": checked(half_over_all()),
        "frozen": checked(frozen()),
        "over all": checked(hetlib.convert_batchnorm(network(nn.BatchNorm1d(5)))),
    }


class OfTypes(nn.Module):
    """A network whose first weights are more precise than the others."""

    def __init__(self, rough: torch.dtype) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(FEATURES, dtype=torch.float64))
        self.body = network().to(rough)
        self.rough = rough

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body((x * self.scale).to(self.rough)).double()


def right_in_other_ways(rank: int) -> dict[str, str]:
    """Check right jobs with weights of several types, and with ranks in an order of their own."""
    found = {}
    for rough in (torch.float32, torch.bfloat16):
        found[str(rough)] = checked(OfTypes(rough))[0]
    model = DistributedDataParallel(network())
    loader = hetlib.BalancedLoader(range(len(INPUTS)), (7, 4), rank=1 - rank, seed=1)
    indices = next(iter(loader))
    step(model, loader, indices, whole)
    found["ranks"] = message_of(hetlib.check_gradient, model, whole, indices, loader=loader)
    return found


def summed(model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(model(INPUTS[indices]), LABELS[indices], reduction="sum")


def right_sums(rank: int) -> dict[str, str]:
    """Check losses that are sums, where a replica has one sample in place of none, or no row."""
    found = {}
    for empty in ("sample", "rows"):
        model = DistributedDataParallel(network())
        loader = hetlib.BalancedLoader(range(len(INPUTS)), (9, 0), empty=empty, seed=1)
        indices = next(iter(loader)).long()
        hetlib.balance(summed(model, indices), loader, reduction="sum").backward()
        found[empty] = message_of(
            hetlib.check_gradient, model, summed, indices, loader=loader, reduction="sum"
        )
    return found


class Drawing(nn.Module):
    """Draws at random in its forward pass, where no layer tells."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, 0.3)


class Recurrent(nn.Module):
    """Two layers of cells, between which numbers are left out at random."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(5, 5, 2, dropout=0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cells(x[None])[0][0]


def unrepeatable(rank: int) -> dict[str, list[str]]:
    """Check right jobs whose second pass is another one."""
    spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(5, 5))
    return {
        "function": checked(network(Drawing())),
        "cells": checked(network(Recurrent())),
        "slopes": checked(network(nn.RReLU())),
        "spectral norm": checked(network(spectral)),
    }


def sharded(rank: int) -> str:
    net = network()
    fully_shard(net)
    loader = hetlib.BalancedLoader(range(len(INPUTS)), (7, 4), seed=1)
    indices = next(iter(loader))
    hetlib.balance(whole(net, indices), loader).backward()
    return message_of(hetlib.check_gradient, net, whole, indices, loader=loader)


def random_numbers_go_on(rank: int) -> bool:
    """Check a job whose loss draws numbers of its own, and say whether the next are as before."""
    net = network()
    before = random_states()
    hetlib.check_gradient(net, noisy_loss, torch.arange(4), count=4, tolerance=1e9)
    return before == random_states()


def random_states() -> list[Any]:
    of_numpy = np.random.get_state()  # noqa: NPY002 -- the caller's
    return [torch.get_rng_state().tolist(), random.getstate(), str(of_numpy)]


def noisy_loss(model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
    drawn = random.random() * np.random.random()  # noqa: NPY002
    return whole(model, indices) * torch.rand(()) * drawn


def wrong(rank: int) -> dict[str, list[str]]:
    """Check wrong jobs, and one whose loss is repeated another way."""
    return {
        "plain mean": checked(network(nn.BatchNorm1d(5)), is_balanced=False),
        "not in parts": checked(network(nn.BatchNorm1d(5)), by_parts, (6, 9), whole),
    }
