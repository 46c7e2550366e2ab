"""How many samples a batch holds, where its form is the caller's.

Sizes are read at the places where a batch of a sample twice is larger by one than that of the
sample once. So the steps of sequences, the bands of images and what all samples share are told
apart from samples without a guess.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch

from hetlib.balanced.emptied import attributes_of

# Keys, numbers and names down to a part, then what of it is counted: a dimension or its length.
Place: TypeAlias = tuple[Any, ...]
Sizes: TypeAlias = dict[Place, int]

_LENGTH = "length"
# parts within parts; an object that holds itself ends here
_DEEPEST = 12


def sizes_of(batch: Any) -> Sizes:
    """Return the sizes of all parts of a batch, by place.

    Args:
        batch: Tensors and arrays in mappings, tuples, lists, dataclasses and objects.
    """
    return dict(_sizes_below(batch, ()))


def _sizes_below(part: Any, path: Place) -> Iterator[tuple[Place, int]]:
    if isinstance(part, torch.Tensor | np.ndarray):
        if not _is_nested(part):
            for dimension, size in enumerate(part.shape):
                yield (*path, dimension), int(size)
        return
    if len(path) == _DEEPEST:
        return
    inner: Mapping[Any, Any] = attributes_of(part)
    if isinstance(part, Mapping):
        inner = part
    elif isinstance(part, list | tuple):
        yield (*path, _LENGTH), len(part)
        inner = dict(enumerate(part))
    for key, value in inner.items():
        yield from _sizes_below(value, (*path, key))


def _is_nested(part: Any) -> bool:
    return isinstance(part, torch.Tensor) and part.is_nested


def has_rows(sizes: Sizes, samples: int) -> bool:
    """Say whether all tensors of a batch, and all lists within it, have so many rows.

    Args:
        sizes: Of the batch.
        samples: The rows.
    """
    rows = {size for place, size in sizes.items() if place[-1] == 0}
    # not the batch itself, which may be a list of its parts
    lengths = {size for place, size in sizes.items() if place[1:] and place[-1] == _LENGTH}
    return rows | lengths == {samples}


def grown(one: Sizes, two: Sizes) -> Sizes:
    """Return the places that count samples, and what each is larger by than they are many.

    Args:
        one: The sizes of a batch of a sample.
        two: Those of the same sample twice.
    """
    found = {}
    for place, size in one.items():
        if two.get(place) == size + 1:
            found[place] = max(size - 1, 0)
    return found


def samples_in(sizes: Sizes, places: Sizes) -> int | None:
    """Return the samples of a batch, at most; ``None`` where it does not tell.

    Args:
        sizes: Of the batch.
        places: That count samples, as `grown` returns them.
    """
    counts = [sizes[place] - more for place, more in places.items() if place in sizes]
    return max(counts, default=None)
