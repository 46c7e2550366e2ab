"""Parts of a local batch: as few as fit, of nearly equal size, in order."""

import numpy as np
import pytest
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
    ("samples", "most"),
    [
        (-1, None),
        (-1, 4),
        (8, 0),
        (0, -2),
    ],
)
def test_wrong_numbers_are_named(samples, most):
    words = f"`samples` is {samples} and `most` {most}; allowed are >= 0 and >= 1"
    with pytest.raises(ValueError, match=words):
        micro_batches(samples, most)


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
