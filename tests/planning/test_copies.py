"""Copies of networks that `copy.deepcopy` refuses, and the caller's things left as they were."""

import contextlib
import copy
import random
import threading

import numpy as np
import pytest
import torch
from torch import nn

from hetlib.planning.copies import copied, left_as_it_was


def with_weight_norm() -> nn.Module:
    return nn.utils.weight_norm(nn.Linear(4, 4))


def with_spectral_norm() -> nn.Module:
    return nn.utils.spectral_norm(nn.Linear(4, 4))


class Remembers(nn.Module):
    """Keeps what it computed last, with its graph, and a number of all that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.seen = [0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.last = self.inner(x)
        self.seen[0] += 1
        return self.last


class Locked(Remembers):
    """Holds a lock, alone and among other things; a hook of its own; a generator; tied weights."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.locks = [threading.Lock()]
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.inner.weight
        self.tied.register_forward_hook(self.note)
        self.draws = torch.Generator()
        self.layers = {"first": self.inner}

    def note(self, *_: object) -> None:
        self.seen.append(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with self.lock:
            noise = torch.randn(4, 4, generator=self.draws)
            return self.tied(super().forward(x)) + 0 * noise


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("build", [with_weight_norm, with_spectral_norm, Remembers, Locked])
def test_a_network_that_deepcopy_refuses_is_copied(build):
    x = torch.randn(4, 4)
    network = build()
    network(x)
    with pytest.raises((RuntimeError, TypeError)):
        copy.deepcopy(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    twin = copied(network)
    assert torch.equal(copied(network)(x), twin(x))
    twin(x).sum().backward()
    with torch.no_grad():
        for weight in twin.parameters():
            weight.zero_()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(weight.grad is None for weight in network.parameters())


def test_a_copy_shares_nothing_that_can_be_copied():
    network = Locked()
    network(torch.randn(4, 4))
    state = network.draws.get_state()
    twin = copied(network)
    twin(torch.randn(4, 4))
    assert len(network.seen) == 2
    assert len(twin.seen) == 3  # its hook is its own
    assert torch.equal(network.draws.get_state(), state)
    assert twin.tied.weight is twin.inner.weight
    assert twin.layers["first"] is twin.inner
    assert twin.lock is network.lock
    assert twin.locks is not network.locks


def draws() -> list[float]:
    return [random.random(), np.random.random(), torch.rand(1).item()]  # noqa: NPY002


def seed() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)


def test_random_states_and_gradients_are_those_of_before():
    network = nn.Linear(2, 2)
    network(torch.ones(1, 2)).sum().backward()
    gradient = network.weight.grad
    value = gradient.clone()
    seed()
    expected = draws()
    seed()
    with contextlib.suppress(KeyError), left_as_it_was(network):
        draws()
        network(torch.ones(1, 2)).sum().backward()
        assert network.weight.grad is not gradient
        raise KeyError
    assert network.weight.grad is gradient
    assert torch.equal(gradient, value)
    assert draws() == expected
