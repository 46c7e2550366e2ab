"""What tells one loss or optimizer from another, in this process and in the next one."""

import functools
import os
import subprocess
import sys
import types
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

from hetlib.planning.identity import function_text
from hetlib_bundle.paths import ROOT


def one(model, batch):
    return model(batch).sum()


def two(model, batch):
    return 2 * model(batch).sum()


def made(*held):
    def loss(model, batch):
        return held, one(model, batch)

    return loss


def keyword(value):
    def loss(model, batch, *, passes=value):
        return passes

    return loss


def default(value):
    def loss(model, batch, passes=value):
        return passes

    return loss


class Trainer:
    def __init__(self, passes):
        self.passes = passes
        self.model = nn.Linear(2, 2)

    def loss(self, model, batch):
        return self.passes * model(batch).sum()

    def other(self, model, batch):
        return self.passes + model(batch).sum()


class Called(Trainer):
    def __call__(self, model, batch):
        return self.loss(model, batch)


def itself(steps):
    def loss(model, batch):
        return loss(model, batch) if steps else 0

    return loss


def nowhere():
    def loss(model, batch):
        return late(model)

    if False:
        late = None
    return loss


def words(model, batch):
    return model in {"a", "b", "c", "d"}


# Makers of functions that do something else each.
MAKERS = {
    "plain": lambda: one,
    "plain, other": lambda: two,
    "none": lambda: None,
    "class": lambda: torch.optim.SGD,
    "another class": lambda: torch.optim.Adam,
    "bound": lambda: functools.partial(torch.optim.SGD, lr=0.1),
    "bound, other": lambda: functools.partial(torch.optim.SGD, lr=0.2),
    "bound function": lambda: functools.partial(made, one),
    "bound function, other": lambda: functools.partial(made, two),
    "constant": lambda: lambda model, batch: one(model, batch) + 1,
    "constant, other": lambda: lambda model, batch: one(model, batch) + 2,
    "closure": lambda: made(1),
    "closure, other": lambda: made(8),
    "closure, float": lambda: made(1.0),
    "closure, text": lambda: made("1"),
    "closure, tuple": lambda: made((1, (2, "a"))),
    "closure, tuple, other": lambda: made((1, (2, "b"))),
    "closure, list": lambda: made([1, 2]),
    "closure, list, other": lambda: made([1, 3]),
    "closure, mapping": lambda: made({"passes": 1}),
    "closure, mapping, other": lambda: made({"passes": 8}),
    "closure, numpy": lambda: made(np.int64(7)),
    "closure, array": lambda: made(np.zeros(3)),
    "closure, tensor": lambda: made(torch.zeros(3, 2)),
    "closure, set": lambda: made({"a", "b", "c", "d"}),
    "closure, set, other": lambda: made({"a", "b", "c", "e"}),
    "closure, function": lambda: made(one),
    "closure, function, other": lambda: made(two),
    "closure in a closure": lambda: made(made(1)),
    "closure in a closure, other": lambda: made(made(8)),
    "closure, object": lambda: made(types.SimpleNamespace(passes=1)),
    "closure, object, other": lambda: made(types.SimpleNamespace(passes=8)),
    "default": lambda: default(1),
    "default, other": lambda: default(8),
    "keyword": lambda: keyword(1),
    "keyword, other": lambda: keyword(8),
    "method": lambda: Trainer(1).loss,
    "method, other": lambda: Trainer(1).other,
    "method, other attribute": lambda: Trainer(8).loss,
    "object": lambda: Called(1),
    "object, other": lambda: Called(8),
    "module": lambda: nn.CrossEntropyLoss(label_smoothing=0.1),
    "module, other": lambda: nn.CrossEntropyLoss(label_smoothing=0.2),
    "itself": lambda: itself(0),
    "itself, other": lambda: itself(1),
    "a cell that is empty": nowhere,
    "set of constants": lambda: words,
    "of torch": lambda: nn.functional.cross_entropy,
    "of torch, other": lambda: nn.functional.mse_loss,
    "of C": lambda: torch.sum,
}


def texts():
    return {name: function_text(make()) for name, make in MAKERS.items()}


def test_a_function_is_known_by_what_it_does_and_what_it_was_made_with():
    found = texts()
    assert len(set(found.values())) == len(found)
    assert texts() == found


@pytest.mark.parametrize("seed", ["0", "1"])
def test_the_words_are_the_same_in_another_process(seed):
    """Addresses differ there, and so does the order of sets."""
    found = texts()
    for text in found.values():
        assert "0x" not in text
    script = (
        "from tests.planning.test_identity import texts\n"
        "held = [object() for _ in range(1000)]\n"
        "print(repr(texts()))"
    )
    surroundings = {**os.environ, "PYTHONHASHSEED": seed}
    there = subprocess.run(
        [sys.executable, "-c", script], env=surroundings, capture_output=True, text=True, cwd=ROOT
    )
    assert there.returncode == 0, there.stderr
    assert there.stdout.strip() == repr(found)


PASSES = 1


def by_a_global(model, batch):
    return [one(model, batch) for _ in range(PASSES)]


def test_globals_that_a_function_names_count():
    known = function_text(by_a_global)
    with mock.patch(f"{__name__}.PASSES", 8):
        assert function_text(by_a_global) != known
    with mock.patch(f"{__name__}.one", two):
        assert function_text(by_a_global) != known
    assert function_text(by_a_global) == known


def test_long_chains_of_functions_and_large_containers_come_to_an_end():
    chain = one
    for _ in range(5000):
        chain = made(chain)
    assert len(function_text(chain)) < 10**7
    assert len(function_text(made(list(range(10**6))))) < 10**5
    assert function_text(made(list(range(2000)))) != function_text(made(list(range(2001))))
