"""Parts of a local batch: as few as fit, of nearly equal size, in order."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hetlib.balanced.accumulation import micro_batches


@given(st.integers(1, 500), st.integers(1, 100))
def test_parts_are_those_of_an_even_split_into_as_few_as_fit(samples, most):
    batch = np.arange(samples)
    parts = [batch[part] for part in micro_batches(samples, most)]
    fewest = -(-samples // most)
    expected = np.array_split(batch, fewest)
    assert len(parts) == len(expected)
    for part, other in zip(parts, expected, strict=True):
        assert part.tolist() == other.tolist()
    assert max(map(len, parts)) <= most


@pytest.mark.parametrize("most", [None, 10, 11])
def test_a_batch_that_fits_stays_whole(most):
    assert micro_batches(10, most) == [slice(0, 10)]


@pytest.mark.parametrize("most", [None, 1, 8])
def test_an_empty_batch_is_one_empty_part(most):
    assert micro_batches(0, most) == [slice(0, 0)]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("samples", [-1, 2.5, "8", None, [8], 10**12, 10**5000]),
        ("most", [0, -2, 2.5, "4", True, [4]]),
        ("parts", [0, None, 1.0, 10**9]),
    ],
)
def test_wrong_numbers_are_named(name, values):
    for value in values:
        arguments = {"samples": 8, "most": 4, name: value}
        with pytest.raises(ValueError, match=f"`{name}` is"):
            micro_batches(**arguments)
    with pytest.raises(ValueError, match="which makes 2000000000 parts"):
        micro_batches(2 * 10**9, 1)


def test_numbers_of_numpy_and_torch_are_taken():
    assert micro_batches(np.int64(8), torch.tensor(4)) == [slice(0, 4), slice(4, 8)]


@pytest.mark.parametrize(
    ("samples", "most", "parts", "sizes"),
    [
        (7, 4, 3, [3, 2, 2]),
        (7, 2, 3, [2, 2, 2, 1]),
        (1, None, 3, [1, 0, 0]),
        (0, 4, 2, [0, 0]),
    ],
)
def test_at_least_so_many_parts(samples, most, parts, sizes):
    batch = range(samples)
    cut = micro_batches(samples, most, parts=parts)
    assert [len(batch[part]) for part in cut] == sizes
    assert [number for part in cut for number in batch[part]] == list(batch)


def test_no_part_is_refused():
    with pytest.raises(ValueError, match="`parts` is 0"):
        micro_batches(4, parts=0)
