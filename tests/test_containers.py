"""The checks of sequences and mappings, and the words for what is none."""

import itertools

import numpy as np
import pytest
import torch

from hetlib.containers import MOST_ITEMS, items, mapping
from hetlib.inputs import whole


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_items_are_checked_one_by_one(kind):
    taken = items("shares", kind([3, 1]), whole, count=2)
    assert taken == (3, 1)
    assert all(type(item) is int for item in taken)
    with pytest.raises(ValueError, match=r"`shares\[1\]` is '1'"):
        items("shares", [3, "1"], whole)


@pytest.mark.parametrize("value", ["31", b"31", 31, None, {3: 1}, {3, 1}, np.array(3)])
def test_one_value_is_no_sequence(value):
    with pytest.raises(ValueError, match=r"`shares` is .*; it must be a sequence"):
        items("shares", value, whole)


def test_the_number_of_items_is_told():
    with pytest.raises(ValueError, match=r"`shares` is \[\]; .* at least 1 items\."):
        items("shares", [], whole, low=1)
    with pytest.raises(ValueError, match="a sequence of 2 items"):
        items("shares", [1], whole, count=2)
    with pytest.raises(ValueError, match=f"more than {MOST_ITEMS:,} items"):
        items("shares", itertools.count(), whole)


def test_keys_of_a_mapping_are_text_and_known():
    assert mapping("options", {"lr": [1]}) == {"lr": [1]}
    for value in ([("lr", 1)], "lr", 3, None):
        with pytest.raises(ValueError, match=r"`options` is .*; it must be a mapping"):
            mapping("options", value)
    with pytest.raises(ValueError, match="`options` has the key 3; its keys must be text"):
        mapping("options", {3: 1})
    with pytest.raises(ValueError, match=r"unknown key 'thread' \(meant: 'threads'\?\)"):
        mapping("options", {"thread": 1}, allowed=("threads", "device"))
    with pytest.raises(ValueError, match=r"`options` lacks \['device'\]"):
        mapping("options", {}, required=("device",))
