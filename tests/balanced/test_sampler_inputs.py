"""What a sampler is given: numbers of every kind are taken, and all else is refused by name."""

import itertools
import json
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hetlib.balanced import queries
from hetlib.balanced.sampler import BalancedSampler
from hetlib.balanced.shares import deal

# Of the wrong type for every argument, or of no type at all.
ODD = [
    "31",
    b"31",
    2.9,
    math.nan,
    math.inf,
    -1,
    10**30,
    {3: "x", 1: "y"},
    {3, 1},
    [2.9, 1.2],
    [True, 3],
    ["3", "1"],
    [[3], [1]],
    [None],
    object(),
    torch.ones(2),
    np.array(["a", "b"]),
    1j,
    lambda: 3,
]
ARGUMENTS = {
    "num_samples": ODD[:9],
    "plan": [3, None, True, *ODD],
    "rank": [True, [0], *ODD],
    "seed": [True, None, [0], *ODD],
    "shuffle": [0, 1, None, "no", [], *ODD],
    "drop_last": [0, 1, None, "no", [], *ODD],
    "shards": [3, True, *ODD],
}
GIVEN = {"num_samples": 10, "plan": [3, 1], "rank": 0}


def refusal(call, *arguments, **named):
    """What a call says against its arguments; "" where it takes them."""
    try:
        call(*arguments, **named)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", ARGUMENTS)
def test_what_is_not_allowed_is_refused_by_name(name):
    for value in ARGUMENTS[name]:
        with pytest.raises(ValueError, match=f"`{name}"):
            BalancedSampler(**{**GIVEN, name: value})


def test_numbers_of_numpy_and_torch_are_taken_and_kept_as_python_s():
    plain = BalancedSampler(10, [3, 1], rank=1, seed=4)
    given_otherwise = BalancedSampler(
        np.int64(10), torch.tensor([3, 1]), rank=np.uint8(1), seed=torch.tensor(4)
    )
    assert list(given_otherwise) == list(plain)
    state = given_otherwise.state_dict()
    assert json.loads(json.dumps(state)) == plain.state_dict()
    assert BalancedSampler(np.array(10), np.array([3, 1]), rank=0).num_samples == 10


@pytest.mark.parametrize(
    ("ask", "name"),
    [
        (lambda sampler: sampler.set_epoch("1"), "epoch"),
        (lambda sampler: sampler.set_epoch(-1), "epoch"),
        (lambda sampler: sampler.counts(3), "step"),
        (lambda sampler: sampler.counts(-1), "step"),
        (lambda sampler: sampler.counts(0, 1.5), "epoch"),
        (lambda sampler: sampler.permutation(None), "epoch"),
        (lambda sampler: sampler.steps(epoch=True), "epoch"),
        (lambda sampler: sampler.steps(step="1"), "step"),
        (lambda sampler: sampler.replan("31"), "plan"),
        (lambda sampler: sampler.replan([5, -1]), r"plan\[1\]"),
        (lambda sampler: sampler.replan([2, 2], step=1.5), "step"),
        (lambda sampler: deal(-1, [3, 1]), "samples"),
        (lambda sampler: deal(2.5, [3, 1]), "samples"),
        (lambda sampler: deal(4, 3), "shares"),
        (lambda sampler: deal(4, [0, 0]), "shares"),
        (lambda sampler: deal(4, []), "shares"),
        (lambda sampler: deal(10**12, [3, 1]), "samples"),
    ],
)
def test_arguments_of_its_methods_are_refused_by_name(ask, name):
    sampler = BalancedSampler(10, [3, 1], rank=0)
    with pytest.raises(ValueError, match=f"`{name}` is"):
        ask(sampler)


def test_queries_that_end_after_one_epoch_or_never_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="can be gone through once"):
        BalancedSampler(iter(range(10)), [3, 1], rank=0)

    class Endless:
        def __iter__(self):
            return itertools.count()

    monkeypatch.setattr(queries, "MOST_QUERIES", 1000)
    with pytest.raises(ValueError, match=r"Endless that gives more than 1,000 queries"):
        BalancedSampler(Endless(), [3, 1], rank=0)


STATES = [
    ("state", None),
    ("state", [("epoch", 0)]),
    ("state", {3: 4}),
    ("epoch", "0"),
    ("epoch", 0.5),
    ("epoch", None),
    ("step", True),
    ("step", [1]),
    ("shares", 31),
    ("shares", "31"),
    ("shares", [3, "1"]),
    ("shares", []),
    ("plans", None),
    ("plans", []),
    ("plans", [[0]]),
    ("plans", [[0, 4]]),
    ("plans", [[0, [3, 1]], ["2", [2, 2]]]),
    ("plans", [[0, [3, 2]]]),
    ("plans", [[0, [4]]]),
    ("plans", [[1, [3, 1]]]),
    ("plans", [[0, [3, 1]], [4, [2, 2]], [2, [1, 3]]]),
    ("seed", np.array([0, 1])),
    ("seed", False),
    ("num_samples", "10"),
]


@pytest.mark.parametrize(("field", "value"), STATES, ids=repr)
def test_a_damaged_state_is_refused_by_field(field, value):
    sampler = BalancedSampler(10, [3, 1], rank=0)
    before = sampler.state_dict()
    state = value if field == "state" else {**before, field: value}
    with pytest.raises(ValueError, match=field):
        sampler.load_state_dict(state)
    assert sampler.state_dict() == before


@pytest.mark.parametrize("field", list(BalancedSampler(10, [3, 1], rank=0).state_dict()))
def test_a_state_without_a_field_is_refused(field):
    sampler = BalancedSampler(10, [3, 1], rank=0)
    state = sampler.state_dict()
    del state[field]
    with pytest.raises(ValueError, match=rf"the state lacks \['{field}'\]"):
        sampler.load_state_dict(state)


def test_a_state_with_numbers_of_numpy_and_torch_is_taken():
    sampler = BalancedSampler(10, [3, 1], rank=0)
    state = sampler.state_dict()
    state |= {"step": torch.tensor(2), "epoch": np.int64(1), "seed": np.int64(0)}
    state["plans"] = [[np.int64(0), np.array([3, 1])]]
    sampler.load_state_dict(state)
    assert sampler.plans == [(0, (3, 1))]
    assert (sampler.epoch, sampler.step) == (1, 2)
    assert type(sampler.step) is int


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=3), part),
    max_leaves=8,
)


@given(name=st.sampled_from(list(ARGUMENTS)), value=anything)
def test_anything_is_refused_by_name_or_dealt(name, value):
    if name == "num_samples" and isinstance(value, int) and value > 10**5:
        value = -value
    arguments = {**GIVEN, name: value}
    said = refusal(BalancedSampler, **arguments)
    if said:
        assert re.search("`(num_samples|plan|rank|seed|shuffle|drop_last|shards)", said)
        return
    sampler = BalancedSampler(**arguments)
    dealt = sum(len(numbers) for _, numbers in sampler.steps())
    assert 0 < dealt <= sampler.num_samples


@given(field=st.sampled_from(["epoch", "step", "shares", "plans", "seed"]), value=anything)
def test_any_state_is_refused_by_field_or_gone_on_from(field, value):
    sampler = BalancedSampler(10, [3, 1], rank=0)
    said = refusal(sampler.load_state_dict, {**sampler.state_dict(), field: value})
    assert not said or field in said
    assert sum(len(numbers) for _, numbers in sampler.steps()) > 0
