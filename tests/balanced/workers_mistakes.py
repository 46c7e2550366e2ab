"""Wrong jobs, and the messages that they end with; all of them on every replica."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import hetlib
from tests.balanced.situations import Net, Situation, loss_of, make

Job: TypeAlias = tuple[Any, hetlib.BalancedSampler]

PLAIN = Situation(samples=16)


class Opaque(nn.Module):
    """A network whose output hides its tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Net()

    def forward(self, x: torch.Tensor, shift: float = 0.0) -> Any:
        return partial(self.inner, x)


def message_of(action: Callable[..., Any], *args: Any, **options: Any) -> str:
    """Return the message of the error that a call ends with, or nothing."""
    try:
        action(*args, **options)
    except (RuntimeError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def images_of() -> torch.Tensor:
    return make(PLAIN)[0]


def wrapped(net: nn.Module, shares: Sequence[int] = (6, 2), **options: Any) -> Job:
    """Return the model and its sampler."""
    sampler = hetlib.BalancedSampler(PLAIN.samples, shares, seed=1)
    model = hetlib.balance(DistributedDataParallel(net), sampler, **options)
    return model, sampler


def nothing() -> None:
    """Change nothing."""


def train(net: nn.Module, change: Callable[[], None] = nothing, **options: Any) -> None:
    """Take the backward passes of an epoch, with a change behind each."""
    images, labels = make(PLAIN)
    model, sampler = wrapped(net, **options)
    for indices in sampler:
        loss_of(PLAIN, model, images[indices], labels[indices]).backward()
        model.zero_grad()
        change()


def drift(net: Net, rank: int) -> None:
    """Change one weight, another way on each replica."""
    with torch.no_grad():
        net.second.bias[0] += 1e-12 * rank


def mistakes_that_checks_find(rank: int) -> dict[str, str]:
    hooked = Net()
    hooked.first.weight.register_hook(lambda gradient: 1.5 * gradient)
    drifting = Net(seed=3)
    change = partial(drift, drifting, rank)
    drawing = nn.Sequential(Net(), nn.Dropout(0.1))
    return {
        "batchnorm": message_of(train, Net("batchnorm"), check=True),
        "hook": message_of(train, hooked, check=True),
        "drift": message_of(train, drifting, change, verify_every=2),
        "no drift": message_of(train, Net(), verify_every=1, check=True),
        "dropout": message_of(train, drawing, check=True),
    }


def mistakes_with_balance(rank: int) -> dict[str, str]:
    announcing = hetlib.balance(DistributedDataParallel(Net()))
    return {
        "part": message_of(train_on_other_parts),
        "unannounced": message_of(announcing, images_of()[:3]),
        "announced twice": message_of(announce_twice, announcing),
        "needs no count": message_of(announce_beside_a_sampler),
        "replicas": message_of(wrapped, Net(), shares=(2, 2, 2)),
        "reduction": message_of(wrapped, Net(), reduction="average"),
        "passes": message_of(wrapped, Net(), passes=0),
        "evaluation": message_of(train_in_evaluation_mode),
        "outputs": message_of(train, Opaque()),
    }


def train_on_other_parts() -> None:
    images = images_of()
    model, sampler = wrapped(Net())
    for indices in sampler:
        model(images[indices][:1])
        model(images[indices])


def announce_twice(model: nn.Module) -> None:
    hetlib.announce(model, 3)
    hetlib.announce(model, 3)


def announce_beside_a_sampler() -> None:
    model, _ = wrapped(Net())
    hetlib.announce(model, 3)


def train_in_evaluation_mode() -> None:
    model, _ = wrapped(Net())
    outputs = model.eval()(images_of()[:3])
    outputs.sum().backward()
