"""More kinds of models and batches: weights that are computed, compiled models, odd entries."""

import random
import threading
import types
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune


class Plus(nn.Module):
    """A parametrization with a weight of its own, as an adapter has."""

    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Parameter(torch.zeros(4, 4))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.more


class KeepsOutputs(nn.Module):
    """Keeps what it computed, with the graphs, in lists and by hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 2)
        self.history: list[torch.Tensor] = []
        self.last: dict[str, torch.Tensor] = {}
        self.body.register_forward_hook(self.keep)

    def keep(self, module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        self.last["body"] = output

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.history.append(self.body(x))
        return self.history[-1]


class Draws(nn.Module):
    """Draws from generators of its own, of which one cannot be copied and another is locked in."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 2)
        self.of_numpy = np.random.default_rng(1)
        self.of_python = random.Random(1)
        self.of_torch = {"lock": threading.Lock(), "draws": torch.Generator()}
        self.numbers = (number / 2 for number in iter(int, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(len(x), 1, generator=self.of_torch["draws"])
        moved = self.of_numpy.random() + self.of_python.random() + next(self.numbers)
        return self.body(x) + moved * noise


class Tied(nn.Module):
    """Uses one weight at both ends."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Embedding(9, 4)
        self.last = nn.Linear(4, 9, bias=False)
        self.last.weight = self.first.weight

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(numbers))


class Described(nn.Module):
    """Takes images, and whatever else a batch says of them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 2)

    def forward(self, image: torch.Tensor, about: Any = None, **more: Any) -> torch.Tensor:
        y = self.body(image)
        if about is None:
            return y
        return y * about["scale"] * about["weights"]["of samples"][:, None]


class OfObject(nn.Module):
    """Takes an object with attributes, and a number."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 2)

    def forward(self, batch: Any, scale: Any = 1) -> torch.Tensor:
        return self.body(batch.image) * float(scale)


@dataclass(slots=True)
class Slots:
    """A batch without a dictionary of its attributes."""

    image: torch.Tensor
    names: list[str]


def rows(n: int = 5) -> torch.Tensor:
    return torch.randn(n, 4)


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))


def with_first(change: Any) -> nn.Module:
    """Return two layers of which the first is changed, after a pass."""
    network = two_layers()
    change(network[0])
    network(rows())
    return network


def adapted(layer: nn.Module) -> None:
    parametrize.register_parametrization(layer, "weight", Plus())


def pruned(layer: nn.Module) -> None:
    prune.random_unstructured(layer, "weight", 0.3)


def partly_scripted() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), torch.jit.script(nn.Linear(4, 2)))


def after_a_pass(network: nn.Module) -> nn.Module:
    network(rows())
    return network


def described() -> dict[str, Any]:
    about = {"scale": 0.5, "weights": {"of samples": torch.rand(5)}, "place": None}
    return {"image": rows(), "about": about}


def with_odd_entries() -> dict[str, Any]:
    return {
        "image": rows(),
        "names": ["a", "b", "c", "d", "e"],
        "crs": "EPSG:32633",
        "tags": {"cloudy"},
        "night": False,
        "taken": np.datetime64("2026-01-01"),
        "sun": np.float32(0.4),
    }


def given_numpy() -> tuple[nn.Module, Any]:
    return OfObject(), (types.SimpleNamespace(image=rows()), np.array(2.0))


MORE: dict[str, Any] = {
    "weight norm by parametrization": lambda: (with_first(parametrizations.weight_norm), rows()),
    "spectral norm by parametrization": lambda: (
        with_first(parametrizations.spectral_norm),
        rows(),
    ),
    "orthogonal": lambda: (with_first(parametrizations.orthogonal), rows()),
    "adapter": lambda: (with_first(adapted), rows()),
    "pruned": lambda: (with_first(pruned), rows()),
    "scripted": lambda: (torch.jit.script(two_layers()), rows()),
    "traced": lambda: (torch.jit.trace(two_layers(), rows()), rows()),
    "partly scripted": lambda: (partly_scripted(), rows()),
    "compiled": lambda: (after_a_pass(torch.compile(two_layers(), backend="eager")), rows()),
    "keeps its outputs": lambda: (after_a_pass(KeepsOutputs()), rows()),
    "draws": lambda: (Draws(), rows()),
    "tied weights": lambda: (Tied(), torch.randint(9, (5, 3))),
    "nested keywords": lambda: (Described(), described()),
    "odd entries": lambda: (Described(), with_odd_entries()),
    "ordered keywords": lambda: (Described(), OrderedDict(image=rows(), mode="a")),
    "keywords that nobody changes": lambda: (
        Described(),
        types.MappingProxyType({"image": rows()}),
    ),
    "namespace and a number of numpy": given_numpy,
    "object with slots": lambda: (OfObject(), (Slots(rows(), ["a"] * 5), True)),
    "all in one": lambda: (nn.Linear(4, 2), rows(1).expand(5, 4)),
}
