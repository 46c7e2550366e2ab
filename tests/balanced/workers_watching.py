"""Loops that balance, and loops that do not, with the warnings that they get."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import TensorDataset

import hetlib

Loop: TypeAlias = Callable[[nn.Module, hetlib.BalancedLoader], None]

# Of two replicas; the last step of 33 samples has one sample.
UNEVEN = (6, 2)
EQUAL = (4, 4)
SAMPLES = 33


def data(samples: int = SAMPLES) -> TensorDataset:
    """Return samples, each a number."""
    return TensorDataset(torch.arange(samples, dtype=torch.float64)[:, None])


def mean_of(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Return a loss that is a mean over samples."""
    loss: torch.Tensor = model(batch).square().mean()
    return loss


def forgets(model: nn.Module, loader: Iterable[Any]) -> None:
    for (batch,) in loader:
        mean_of(model, batch).backward()


def forgets_twice(model: nn.Module, loader: Iterable[Any]) -> None:
    forgets(model, loader)
    forgets(model, loader)


def stops_late(model: nn.Module, loader: Iterable[Any]) -> None:
    """Leave a long epoch that is far from its end."""
    for step, (batch,) in enumerate(loader):
        mean_of(model, batch).backward()
        if step == 20:
            break


def balances(model: nn.Module, loader: hetlib.BalancedLoader) -> None:
    for (batch,) in loader:
        hetlib.balance(mean_of(model, batch), loader).backward()


def counts(model: nn.Module, loader: hetlib.BalancedLoader) -> None:
    """Balance without telling the loader."""
    for (batch,) in loader:
        hetlib.balance(mean_of(model, batch), count=len(batch)).backward()


def sums(model: nn.Module, loader: hetlib.BalancedLoader) -> None:
    for (batch,) in loader:
        loss = model(batch).square().sum()
        hetlib.balance(loss, reduction="sum").backward()


def reads_ahead(model: nn.Module, loader: hetlib.BalancedLoader) -> None:
    """Have the next batch in hand when one is balanced."""
    batches = iter(loader)
    (batch,) = next(batches)
    for (following,) in batches:
        hetlib.balance(mean_of(model, batch), loader, count=len(batch)).backward()
        batch = following
    hetlib.balance(mean_of(model, batch), loader, count=len(batch)).backward()


def looks(model: nn.Module, loader: hetlib.BalancedLoader) -> None:
    """Look at the first batch, then train."""
    next(iter(loader))
    balances(model, loader)


def evaluates(model: nn.Module, loader: hetlib.BalancedLoader) -> None:
    with torch.no_grad():
        for (batch,) in loader:
            mean_of(model, batch)


def evaluates_within(model: nn.Module, loader: hetlib.BalancedLoader) -> None:
    """Evaluate with a pass that was begun before."""
    batches = iter(loader)
    with torch.no_grad():
        for (batch,) in batches:
            mean_of(model, batch)


FORGETFUL: dict[str, Loop] = {
    "forgets": forgets,
    "forgets twice": forgets_twice,
    "stops late": stops_late,
}
RIGHT: dict[str, Loop] = {
    "balances": balances,
    "counts": counts,
    "sums": sums,
    "reads ahead": reads_ahead,
    "looks": looks,
    "evaluates": evaluates,
    "evaluates within": evaluates_within,
}


def warned(loop: Loop, shares: tuple[int, ...], samples: int) -> list[str]:
    """Return what a loop is warned of."""
    model: nn.Module = nn.Linear(1, 1).double()
    if dist.is_initialized():
        model = DistributedDataParallel(model)
    loader = hetlib.BalancedLoader(data(samples), shares)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        loop(model, loader)
    return [str(warning.message) for warning in found]


def by_loop(rank: int, _: None) -> dict[str, dict[str, list[str]]]:
    """Return the warnings of all loops: forgetful ones, right ones, and with equal shares."""
    return {
        "forgetful": {name: warned(loop, UNEVEN, 200) for name, loop in FORGETFUL.items()},
        "right": {name: warned(loop, UNEVEN, 200) for name, loop in RIGHT.items()},
        "read ahead of an empty share": {
            "reads ahead": warned(reads_ahead, (7, 1), SAMPLES),
            "balances": warned(balances, (7, 1), SAMPLES),
        },
        "equal": {"forgets": warned(forgets, EQUAL, SAMPLES)},
    }
