"""Networks trained at once are networks trained one by one."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import hetlib
from hetlib.training.setup import build_schedule
from hetlib_bundle.studies.many import cells, draws, engine, samples
from hetlib_bundle.studies.many.conditions import Condition
from tests.bundle.many import made

SHARES = (9, 5, 2)
RATES = (0.02, 0.1, 0.3)
SEEDS = (3, 7)
STEPS = 25


def in_double(found: samples.Samples) -> samples.Samples:
    return found._replace(inputs=found.inputs.double())


def one_by_one(
    condition: Condition, hidden: tuple[int, ...], seed: int, rate: float, descent: engine.Descent
) -> torch.nn.Module:
    """A network trained by torch's own layers, optimizer and schedule."""
    data = in_double(made.split(seed).train)
    network = engine.perceptron((made.FEATURES, *hidden, made.CLASSES), seed).double()
    optimizer = torch.optim.SGD(
        network.parameters(), lr=rate, momentum=descent.momentum, weight_decay=descent.decay
    )
    schedule = build_schedule(hetlib.Experiment(schedule="onecycle"), optimizer, STEPS)
    for rows in draws.draw(condition, data, STEPS, seed):
        parts = np.split(rows, np.cumsum(condition.drawn)[:-1])
        means = []
        for part in parts:
            values = network(data.inputs[part])
            means.append(F.cross_entropy(values, torch.from_numpy(data.labels[part])))
        weights = condition.replica_weights()
        loss = sum(weight * mean for weight, mean in zip(weights, means, strict=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network


@pytest.mark.parametrize("hidden", [(), (6,), (7, 4)])
@pytest.mark.parametrize(
    "condition",
    [
        Condition("single", (16,)),
        Condition("small", SHARES),
        Condition("plain", SHARES),
        Condition("plain", SHARES, "class"),
        Condition("balanced", SHARES, "region"),
    ],
    ids=lambda condition: condition.name,
)
def test_a_stack_is_trained_as_each_network_alone(condition, hidden):
    descent = engine.Descent(momentum=0.8, decay=0.01)
    data = [in_double(made.split(seed).train) for seed in SEEDS]
    networks = []
    for seed in SEEDS:
        network = engine.perceptron((made.FEATURES, *hidden, made.CLASSES), seed)
        networks.append(network.double())
    layers = engine.stack(networks, len(RATES))
    rows = [draws.draw(condition, one, STEPS, seed) for one, seed in zip(data, SEEDS, strict=True)]
    engine.train(
        layers,
        cells.batches(data, rows),
        steps=STEPS,
        rates=RATES,
        weights=condition.sample_weights(),
        descent=descent,
    )
    for (s, seed), (r, rate) in itertools.product(enumerate(SEEDS), enumerate(RATES)):
        alone = one_by_one(condition, hidden, seed, rate, descent)
        stacked = [each[s, r] for layer in layers for each in layer]
        for one, other in zip(alone.parameters(), stacked, strict=True):
            torch.testing.assert_close(one.detach(), other.detach(), rtol=0, atol=1e-10)


def test_the_schedule_is_that_of_the_bundles_experiments():
    factors = engine.schedule(100)
    assert len(factors) == 100
    assert max(factors) == pytest.approx(1.0, abs=0.01)
    assert factors[0] == pytest.approx(1 / 25)
    assert int(np.argmax(factors)) in (19, 20)  # a fifth of the way rises
    assert factors[-1] < 1e-3


@pytest.mark.parametrize("values", [{"momentum": 1.0}, {"momentum": -0.1}, {"decay": -1e-3}])
def test_wrong_descents_are_named(values):
    with pytest.raises(ValueError, match=f"`{next(iter(values))}` is"):
        engine.Descent(**values)


def test_a_network_needs_an_input_and_an_output():
    with pytest.raises(ValueError, match=r"len\(sizes\)"):
        engine.perceptron((5,), 0)
