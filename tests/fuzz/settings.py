"""Odd settings: arguments of constructors and functions, one or two of them odd."""

import inspect
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import TensorDataset

import hetlib
from hetlib.balanced.shares import deal
from hetlib.balanced.weights import replica_weights
from hetlib.errors import shown
from hetlib.planning.simulate import ring_all_reduce, simulate
from tests.fuzz import odd
from tests.fuzz.verdict import Case

MODELS = [hetlib.SpeedModel.constant(30), hetlib.SpeedModel.constant(10)]
DATA = TensorDataset(torch.arange(10.0))
PLAN = hetlib.partition(MODELS, 8)

# Arguments that are functions of the caller's.
FUNCTIONS = ("collate_fn",)

# What is called, arguments that are right, and how its result is used.
Called = tuple[Callable[..., Any], dict[str, Any], Callable[[Any], object]]


def nothing(made: object) -> None:
    """Use a result that is a plain value."""


def read(made: Any) -> list[Any]:
    """Go through what gives batches, which ends soon."""
    if len(made) > 10**7:  # an order of so many samples is memory well spent
        return []
    return [next(iter(made))]


def balanced(
    loader: Any = None, count: Any = None, samples: Any = None, reduction: Any = "mean"
) -> torch.Tensor:
    """Balance a loss of its own."""
    weights = torch.ones(3, requires_grad=True)
    return hetlib.balance(weights.mean(), loader, count=count, samples=samples, reduction=reduction)


CALLS: tuple[Called, ...] = (
    (hetlib.Experiment, {}, lambda made: (made.to_dict(), made.peak_rate([64, 64]))),
    (hetlib.Experiment, {"strategy": "balanced"}, lambda made: made.to_dict()),
    (hetlib.Replica, {}, lambda made: (made.name, hetlib.Platform([made]).to_list())),
    (hetlib.Platform, {"replicas": [hetlib.Replica()]}, lambda made: made.to_list()),
    (hetlib.Platform.emulated, {"slowdowns": [1, 4]}, lambda made: made.nominal_speeds),
    (hetlib.Platform.from_list, {"replicas": [{"threads": 2}]}, lambda made: made.to_list()),
    (hetlib.BalancedSampler, {"num_samples": 10, "plan": [3, 1], "rank": 0}, read),
    (hetlib.BalancedSampler(10, [3, 1], rank=0).replan, {"plan": [2, 2]}, nothing),
    (hetlib.BalancedSampler(10, [3, 1], rank=0).counts, {"step": 0}, nothing),
    (hetlib.BalancedLoader, {"dataset": DATA, "plan": [3, 1], "rank": 0}, read),
    (hetlib.SpeedModel, {"batches": (1, 2), "seconds": (1.0, 2.0)}, lambda made: made.time(3)),
    (hetlib.SpeedModel.constant, {"samples_per_second": 9.0}, lambda made: made.time(3)),
    (hetlib.SpeedModel.measured, {"taken": {1: [1.0]}}, lambda made: made.time(3)),
    (hetlib.partition, {"models": MODELS, "global_batch": 8}, str),
    (hetlib.Rebalancer, {"models": MODELS, "shares": (4, 4)}, lambda made: made.shares),
    (simulate, {"models": MODELS, "shares": (4, 4), "steps": 3}, nothing),
    (ring_all_reduce, {"size": 1e6, "bandwidth": 1e9}, lambda made: made(2)),
    (deal, {"samples": 8, "shares": (3, 1)}, nothing),
    (replica_weights, {"counts": (3, 1), "weighting": "samples"}, nothing),
    (hetlib.effective_batch, {"counts": (3, 1)}, nothing),
    (hetlib.noise_scale, {"counts": (3, 1), "local": (1.0, 2.0), "reduced": 0.5}, nothing),
    (hetlib.micro_batches, {"samples": 8, "most": 3}, nothing),
    (balanced, {"count": 3}, nothing),
    (hetlib.balance, {"loss": 3, "count": 3}, nothing),
    (hetlib.announce, {"count": 3}, nothing),
    (hetlib.collate, {"data": DATA}, lambda made: made([])),
)


def setting(rng: random.Random) -> Case:
    """Return a call with one or two odd arguments."""
    function, right, use = rng.choice(CALLS)
    return call_with_odd(rng, function, right, use)


def experiment(rng: random.Random) -> Case:
    """Return an experiment with one or two odd fields."""
    function, right, use = CALLS[0]
    return call_with_odd(rng, function, right, use)


def call_with_odd(
    rng: random.Random,
    function: Callable[..., Any],
    right: dict[str, Any],
    use: Callable[[Any], object],
) -> Case:
    """Return a call of which one or two arguments are odd."""
    known = inspect.signature(function).parameters.values()
    names = [p.name for p in known if p.kind is not p.VAR_KEYWORD and p.name != "group"]
    arguments = dict(right)
    for name in rng.sample(names, min(len(names), rng.choice([1, 1, 2]))):
        value = odd.value(rng)
        if name in FUNCTIONS and callable(value):
            value = 3  # what a function raises is the caller's own error
        arguments[name] = value
    about = f"{getattr(function, '__qualname__', function)}({shown(arguments)})"
    return Case(about, lambda: function(**arguments), use)


def state(rng: random.Random) -> Case:
    """Return a sampler's state that is damaged somewhere."""
    sampler = hetlib.BalancedSampler(10, [3, 1], rank=0)
    content = odd.changed(rng, sampler.state_dict())
    if rng.random() < 0.2:
        content = odd.value(rng)

    def load() -> hetlib.BalancedSampler:
        sampler.load_state_dict(content)
        return sampler

    return Case(f"load_state_dict({shown(content)})", load, read)


def plan(rng: random.Random) -> Case:
    """Return a plan for a small network of which one argument is odd, by a clock of 0.02 s."""
    right = {
        "model": torch.nn.Linear(3, 2),
        "example_batch": torch.ones(4, 3),
        "global_batch": 8,
        "seconds": 0.02,
        "max_batch": 8,
    }
    names = [*right, "loss", "optimizer", "accumulate", "store", "progress", "multiple", "threads"]
    names.remove("seconds")  # 10**9 of them are a budget
    name = rng.choice(names)
    given = odd.value(rng)
    if name == "store" and isinstance(given, str | list):
        given = 3
    right[name] = given
    return Case(f"plan({name}={shown(given)})", lambda: hetlib.plan(**right), str)


def is_same_run(made: Any) -> None:
    """Use a record: what it says of itself is what its fingerprint names."""
    if made is not None:
        np.median(made.step_seconds)
        made.scores  # noqa: B018 -- the look is the use
