"""Models and batches of many kinds that replicas plan in tests."""

import copy
import os
import platform
import random
import threading
from collections import UserDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import hetlib
from tests.planning.kinds_more import MORE


class Scaled(nn.Module):
    """Takes samples, and more that may be given by position or by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 2)

    def forward(
        self, x: torch.Tensor, scale: Any = 1.0, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        y = self.body(x) * scale
        return y if weight is None else y * weight[:, None]


class Named(nn.Module):
    """Takes an object with tensors, and returns a mapping."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 2)

    def forward(self, batch: Any) -> dict[str, torch.Tensor]:
        return {"out": self.body(batch.x), "size": self.body(batch.x).abs()}


class Graph(nn.Module):
    """Mixes samples by one square matrix that is as large as their number."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 2)

    def forward(self, matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return matrix @ self.body(x)


class OfList(nn.Module):
    """Takes a list of images of different size."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 2, 1)

    def forward(self, images: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([self.body(image[None]).mean() for image in images])


class Locked(nn.Module):
    """Cannot be deep-copied: it holds a lock."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.body = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with self.lock:
            return self.body(x)


@dataclass(frozen=True)
class Fields:
    """A batch with attributes."""

    x: torch.Tensor
    name: str = "a batch"


class Pair(NamedTuple):
    """A batch of named parts."""

    x: torch.Tensor
    scale: float


@dataclass(slots=True)
class Slots:
    """A batch whose attributes lie in slots."""

    x: torch.Tensor
    name: str = "a batch"


class Own:
    """A batch that is an object of a class of its own, with the samples in a container."""

    def __init__(self) -> None:
        self.parts = {"image": rows()}
        self.name = "a batch"

    @property
    def x(self) -> torch.Tensor:
        return self.parts["image"]


class Heads(dict):
    """A mapping that torch takes for a value."""


@dataclass
class Auxiliary:
    """Outputs in an object that torch takes for a value."""

    levels: list[torch.Tensor]
    note: str = "of the second head"


class TwoHeads(nn.Module):
    """Returns a tensor and an object, or an object alone, that holds the second head's."""

    def __init__(self, wrap: Any) -> None:
        super().__init__()
        self.first = nn.Linear(4, 2)
        self.second = nn.Linear(4, 2)
        self.wrap = wrap

    def forward(self, x: torch.Tensor) -> Any:
        return self.wrap(self.first(x), self.second(x))


def with_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def with_pooled_norm() -> nn.Module:
    """One value a channel of each sample, as behind a global pooling."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)),
        nn.Conv2d(1, 4, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.BatchNorm2d(4),
    )


def with_weight_norm() -> nn.Module:
    return passed(nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 2)))


def with_spectral_norm() -> nn.Module:
    return passed(nn.Sequential(nn.utils.spectral_norm(nn.Linear(4, 4)), nn.Linear(4, 2)))


def passed(network: nn.Module) -> nn.Module:
    """Return a network that has made a pass before."""
    network(torch.randn(3, 4))
    return network


def recurrent_batch(n: int) -> torch.Tensor:
    return torch.randn(7, n, 4)  # time first


def graph_batch(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.eye(n), torch.randn(n, 4)


def images_of_different_size(n: int) -> list[torch.Tensor]:
    return [torch.randn(3, 4 + number % 3, 5) for number in range(n)]


def rows(n: int = 5) -> torch.Tensor:
    return torch.randn(n, 4)


KINDS: dict[str, Any] = {
    "keywords": lambda: (Scaled(), {"x": rows(), "weight": torch.rand(5)}),
    "other mapping": lambda: (Scaled(), UserDict(x=rows(), scale=2)),
    "keywords and a number": lambda: (Scaled(), {"x": rows(), "scale": 0.5}),
    "a number": lambda: (Scaled(), (rows(), 0.5)),
    "a number in a tensor": lambda: (Scaled(), (rows(), torch.tensor(0.5))),
    "nothing": lambda: (Scaled(), (rows(), 1, None)),
    "named tuple": lambda: (Scaled(), Pair(rows(), 0.5)),
    "one sample": lambda: (nn.Linear(4, 2), rows(1)),
    "object": lambda: (Named(), Fields(rows())),
    "object in slots": lambda: (Named(), Slots(rows())),
    "object of its own": lambda: (Named(), Own()),
    "object beside a tensor": lambda: (TwoHeads(lambda a, b: (a, Auxiliary([b]))), rows()),
    "object of tensors": lambda: (TwoHeads(lambda a, b: Auxiliary([a, b])), rows()),
    "mapping of its own": lambda: (TwoHeads(lambda a, b: {"a": a, "b": Heads(b=b)}), rows()),
    "scripted": lambda: (torch.jit.script(nn.Linear(4, 2)), rows()),
    "traced": lambda: (torch.jit.trace(nn.Linear(4, 2), rows()), rows()),
    "time first": lambda: (nn.LSTM(4, 3), recurrent_batch),
    "one matrix": lambda: (Graph(), graph_batch),
    "list of images": lambda: (OfList(), images_of_different_size),
    "weight norm": lambda: (with_weight_norm(), rows()),
    "spectral norm": lambda: (with_spectral_norm(), rows()),
    "a lock": lambda: (Locked(), rows()),
    "complex": lambda: (nn.Linear(4, 2, dtype=torch.complex64), rows().to(torch.complex64)),
    **MORE,
}


class Steps(nn.Linear):
    """A network with a method for its loss, as frameworks have them."""

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return self(batch).square().mean()


def plan_with_a_loss_of_a_method(rank: int) -> str:
    def loss(model: Any, batch: torch.Tensor) -> torch.Tensor:
        return model.training_step(batch)

    options: dict[str, Any] = {"loss": loss, "global_batch": 16, "seconds": 0.1}
    try:
        hetlib.plan(Steps(4, 2), rows(), progress=False, **options)
    except ValueError as error:
        return str(error)
    return ""


IN_PAIRS: dict[str, Any] = {
    "one sample": lambda: (with_norm(), rows(1)),
    "pooled": lambda: (with_pooled_norm(), rows(3)),
    "keyword": lambda: (with_norm(), {"input": rows(1)}),
    "of all replicas": lambda: (hetlib.convert_batchnorm(with_norm()), rows(1)),
    "in an inner part": lambda: (nn.Sequential(with_norm(), nn.BatchNorm1d(2)), rows(2)),
}


def planned(rank: int, kind: str) -> hetlib.Partition:
    """Plan a model and a batch of a kind, with weights that are the same on all ranks."""
    torch.manual_seed(0)
    network, batch = (KINDS | IN_PAIRS)[kind]()
    return hetlib.plan(network, batch, global_batch=16, seconds=0.1, progress=False)


class Everything(nn.Module):
    """Has weights of which one is frozen, buffers, random layers, parts in evaluation, a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.weight_norm(nn.Linear(4, 4))
        self.norm = nn.BatchNorm1d(4)
        self.quiet = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(4)).eval()
        self.last = nn.Linear(4, 2)
        self.last.bias.requires_grad_(False)
        self.draws = torch.Generator()
        self.calls = 0
        self.last.register_forward_hook(self.count)

    def count(self, *_: object) -> None:
        self.calls += 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + torch.rand(x.shape, generator=self.draws)
        x = x + random.random() + np.random.random()  # noqa: NPY002
        return self.last(self.quiet(self.norm(self.first(x))))


def state_of(network: Everything, batch: torch.Tensor) -> dict[str, Any]:
    """Return all that planning might change, as plain values."""
    tensors = dict(network.state_dict())
    for name, weight in network.named_parameters():
        tensors[f"gradient of {name}"] = weight.grad
    tensors["gradient of the batch"] = batch.grad
    tensors["draws"] = network.draws.get_state()
    tensors["torch"] = torch.get_rng_state()
    state = {name: None if t is None else t.tolist() for name, t in tensors.items()}
    for name, module in network.named_modules():
        state[f"mode of {name}"] = module.training
        state[f"hooks of {name}"] = [*module._forward_hooks, *module._forward_pre_hooks]
    for name, weight in network.named_parameters():
        state[f"training of {name}"] = weight.requires_grad
        state[f"hooks of {name}"] = [weight._backward_hooks, weight._post_accumulate_grad_hooks]
    state["calls"] = network.calls
    state["python"] = random.getstate()
    state["numpy"] = str(np.random.get_state())  # noqa: NPY002
    state["threads"] = torch.get_num_threads()
    return state


def what_planning_changes(rank: int) -> list[str]:
    """Plan in several ways; return the names of what was different afterwards."""
    torch.manual_seed(rank)
    network = Everything()
    batch = torch.randn(5, 4, requires_grad=True)
    network(batch).sum().backward()
    differs = []
    for context in (torch.enable_grad, torch.no_grad):
        for mode in (True, False):
            network.train(mode)
            network.quiet.eval()
            before = copy.deepcopy(state_of(network, batch))
            gradients = [weight.grad for weight in network.parameters()]
            with context():
                hetlib.plan(
                    network,
                    batch,
                    global_batch=12,
                    optimizer=torch.optim.Adam,
                    seconds=0.1,
                    progress=False,
                )
            after = state_of(network, batch)
            differs += [name for name in before if before[name] != after[name]]
            kept = zip(gradients, network.parameters(), strict=True)
            assert all(gradient is weight.grad for gradient, weight in kept)
    return differs


def plan_with_loss_and_optimizer(rank: int) -> tuple[bool, set[tuple[str, float]]]:
    """Plan with both; return whether the loss saw what it should, and the optimizers' rates."""
    network = nn.Linear(4, 3)
    batch = (torch.randn(5, 4), torch.randint(3, (5,)))
    right = []
    made = set()

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        inputs, labels = batch
        inner = model.module if isinstance(model, DistributedDataParallel) else model
        right.append(inner is not network and len(inputs) == len(labels))
        return nn.functional.cross_entropy(model(inputs), labels)

    class Noted(torch.optim.Adam):
        def step(self, closure: Any = None) -> Any:
            made.update(("Adam", group["lr"]) for group in self.param_groups)
            return super().step(closure)

    hetlib.plan(
        network,
        batch,
        global_batch=16,
        loss=loss,
        optimizer=Noted,
        seconds=0.1,
        progress=False,
    )
    return all(right), made


def planned_differently(rank: int, name: str, values: list[Any]) -> str:
    """Return the error of a plan that the ranks ask for in different ways."""
    options: dict[str, Any] = {"global_batch": 16, "seconds": 0.1, name: values[rank]}
    try:
        hetlib.plan(nn.Linear(4, 2), torch.ones(2, 4), progress=False, **options)
    except ValueError as error:
        return str(error)
    return ""


def refused_by_one(rank: int, name: str, value: Any) -> str:
    """Return the error of a plan for which rank 1 alone is given something wrong."""
    options: dict[str, Any] = {"global_batch": 16, "seconds": 0.1}
    options |= {"model": nn.Linear(4, 2), "example_batch": torch.ones(2, 4)}
    if rank == 1:
        options[name] = value
    try:
        hetlib.plan(progress=False, **options)
    except (ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def loss_in_passes(passes: int) -> Callable[[nn.Module, torch.Tensor], torch.Tensor]:
    """Return a loss that goes through the model so many times."""

    def loss(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        losses = [model(batch).sum() for _ in range(passes)]
        return torch.stack(losses).sum()

    return loss


def stored(rank: int, folder: str, changes: dict[str, Any]) -> None:
    """Plan with a store, with some of what a plan depends on changed."""
    torch.manual_seed(0)
    loss = changes.get("loss")
    if "passes" in changes:
        loss = loss_in_passes(changes["passes"])
    number = changes.get("number", 0.5)
    host = changes.get("host", "this")
    interface = changes.get("interface", "lo")
    batch = torch.ones(4, 4)
    with (
        mock.patch.object(platform, "node", return_value=host),
        mock.patch.dict(os.environ, {"NCCL_SOCKET_IFNAME": interface}),
    ):
        hetlib.plan(
            Scaled(),
            batch if loss else (batch, number),
            global_batch=8,
            loss=loss,
            optimizer=changes.get("optimizer"),
            seconds=0.05,
            store=folder,
            progress=False,
        )
