"""Random generators of the caller: planning leaves them as they were, wherever they are held."""

import functools
import random
import time

import numpy as np
import pytest
import torch
from torch import nn

import hetlib
from hetlib.balanced.draws import states_of
from hetlib.planning.copies import left_as_it_was
from tests.planning.kinds_more import Draws

OF_TORCH = torch.Generator()
OF_NUMPY = np.random.default_rng(2)
OF_PYTHON = random.Random(2)


def draws() -> list[float]:
    """Draw from the generators of this module."""
    one = torch.rand(1, generator=OF_TORCH).item()
    return [one, OF_NUMPY.random(), OF_PYTHON.random()]


class Source:
    """Makes batches and losses with generators of its own."""

    def __init__(self) -> None:
        self.torch = torch.Generator()
        self.old = [np.random.RandomState(3)]

    def batch(self, n: int) -> torch.Tensor:
        draws()
        return torch.randn(n, 4, generator=self.torch)

    def __call__(self, model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        return model(batch).sum() * self.old[0].rand()

    def next(self) -> list[float]:
        return [torch.rand(1, generator=self.torch).item(), self.old[0].rand()]


def of_closure(source: Source):
    """Return a function that knows a source by its closure, behind a decorator's."""

    def make(n: int) -> torch.Tensor:
        return source.batch(n)

    @functools.wraps(make)
    def wrapped(n: int) -> torch.Tensor:
        return make(n)

    return wrapped


def bound(n: int, source: Source) -> torch.Tensor:
    return source.batch(n)


def by_default(n: int, *, source: Source = Source()) -> torch.Tensor:  # noqa: B008
    return source.batch(n)


FORMS = {
    "closure": of_closure,
    "method": lambda source: source.batch,
    "bound": lambda source: functools.partial(bound, source=source),
}


def plan(network, batch, loss=None):
    hetlib.plan(network, batch, loss=loss, global_batch=8, seconds=0.02, progress=False)


@pytest.mark.parametrize("form", FORMS)
def test_generators_of_functions_draw_as_without_a_plan(form):
    used = Source()
    expected = Source()
    both = FORMS[form](used)
    states = (OF_TORCH.get_state(), OF_NUMPY.bit_generator.state, OF_PYTHON.getstate())
    plan(nn.Linear(4, 2), both, used)
    assert used.next() == expected.next()
    assert torch.equal(OF_TORCH.get_state(), states[0])
    assert OF_NUMPY.bit_generator.state == states[1]
    assert OF_PYTHON.getstate() == states[2]


def test_generators_of_defaults_draw_as_without_a_plan():
    plan(nn.Linear(4, 2), by_default)
    assert by_default.__kwdefaults__["source"].next() == Source().next()


def test_generators_of_a_model_draw_as_without_a_plan():
    network = Draws()
    plan(network, torch.ones(3, 4))
    expected = Draws()
    assert network.of_numpy.random() == expected.of_numpy.random()
    assert network.of_python.random() == expected.of_python.random()
    drawn = torch.rand(2, generator=network.of_torch["draws"])
    assert torch.equal(drawn, torch.rand(2, generator=expected.of_torch["draws"]))


def test_a_generator_that_holds_itself_and_one_without_a_state_do_no_harm():
    holder = {"draws": OF_PYTHON, "system": random.SystemRandom()}
    holder["self"] = holder
    before = OF_PYTHON.getstate()
    with left_as_it_was(nn.Linear(2, 2), holder, holder):
        OF_PYTHON.random()
    assert OF_PYTHON.getstate() == before


class OfModule(nn.Module):
    """Draws from the generators of its module."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) * sum(draws())


def test_generators_beside_a_model_draw_as_without_a_plan():
    state = OF_TORCH.get_state()
    plan(nn.Sequential(OfModule()), torch.ones(3, 4))
    assert torch.equal(OF_TORCH.get_state(), state)


def test_large_things_are_looked_through_in_a_moment():
    layers = nn.Sequential(*[nn.Sequential(nn.Linear(2, 2), nn.ReLU()) for _ in range(300)])
    data = [[number, [number]] for number in range(10**5)]
    begin = time.perf_counter()
    assert states_of(layers, data, [OF_PYTHON])
    assert time.perf_counter() - begin < 2  # 0.03 on an idle machine
