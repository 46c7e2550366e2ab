"""A batch without samples looks like the others: the same types, an entry for nothing."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

import hetlib
from hetlib.balanced.batches import moved


class Pair(NamedTuple):
    image: Any
    label: Any


@dataclasses.dataclass(frozen=True)
class Labelled:
    image: torch.Tensor
    names: list
    size: int = 4


class Loose:
    """A class of its own, as in torch's text on pinned memory."""

    def __init__(self, samples):
        self.inputs = torch.stack(samples)
        self.note = "kept"


class ByName(dict):
    pass


IMAGE = torch.ones(3, 4)


def shapes(batch):
    """Return the shapes of all tensors in a batch, in place of them."""
    if isinstance(batch, torch.Tensor | np.ndarray):
        return tuple(batch.shape)
    if isinstance(batch, dict):
        return {key: shapes(value) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return [shapes(part) for part in batch]
    return batch


def empty_of(sample, merge=default_collate):
    return hetlib.collate([sample], merge)([])


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (IMAGE, (0, 3, 4)),
        ((IMAGE, 3), [(0, 3, 4), (0,)]),
        ({"image": IMAGE, "name": "a.tif"}, {"image": (0, 3, 4), "name": []}),
        ({"image": IMAGE, "place": (1.0, 2.0)}, {"image": (0, 3, 4), "place": [(0,), (0,)]}),
        (Pair(IMAGE, 1), [(0, 3, 4), (0,)]),
    ],
)
def test_samples_of_many_kinds(sample, expected):
    found = empty_of(sample)
    assert shapes(found) == expected
    assert type(found) is type(default_collate([sample]))


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        (list, []),
        (lambda samples: torch.stack(samples, 1), (3, 0, 4)),
        (lambda samples: (torch.eye(5), torch.stack(samples)), [(5, 5), (0, 3, 4)]),
        (lambda samples: [list(samples), [{"box": 1} for _ in samples]], [[], []]),
        (torch.cat, (0, 4)),
        (lambda samples: torch.arange(len(samples) + 1), (1,)),
        (lambda samples: torch.block_diag(*samples), (0, 0)),
        (lambda samples: ByName(x=torch.stack(samples), scale=2.0), {"x": (0, 3, 4), "scale": 2.0}),
        (lambda samples: np.stack([s.numpy() for s in samples]), (0, 3, 4)),
        (lambda samples: torch.tensor(7.0), ()),
    ],
)
def test_batches_of_many_kinds(merge, expected):
    found = empty_of(IMAGE, merge)
    assert shapes(found) == expected
    assert type(found) is type(merge([IMAGE]))


def test_dataclasses_and_objects():
    def labelled(samples):
        return Labelled(torch.stack(samples), ["a"] * len(samples))

    found = empty_of(IMAGE, labelled)
    assert (found.image.shape, found.names, found.size) == ((0, 3, 4), [], 4)
    loose = empty_of(IMAGE, Loose)
    assert (loose.inputs.shape, loose.note) == ((0, 3, 4), "kept")


def test_a_sample_alone_for_networks_that_cannot_take_none():
    merge = hetlib.collate([IMAGE], empty="sample")
    assert merge([]).shape == (1, 3, 4)
    assert merge([IMAGE, IMAGE]).shape == (2, 3, 4)
    with pytest.raises(ValueError, match="`empty` is 'row'"):
        hetlib.collate([IMAGE], empty="row")


def test_a_batch_moves_whole():
    batch = Labelled(IMAGE, [{"boxes": IMAGE}, Pair(IMAGE, "name")])
    found = moved(batch, "meta")
    assert found.image.device.type == "meta"
    assert found.names[0]["boxes"].device.type == "meta"
    assert found.names[1].image.device.type == "meta"
    assert found.names[1].label == "name"
    assert batch.image.device.type == "cpu"
