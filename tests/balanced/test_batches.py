"""A batch without samples looks like the others: the same types, an entry for nothing."""

import dataclasses
import random
from array import array
from collections import deque
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


class Listed:
    """An object whose samples lie in lists, and which counts them."""

    def __init__(self, samples):
        self.images = list(samples)
        self.texts = ["caption"] * len(samples)
        self.number = len(samples)


class InSlots:
    __slots__ = ("images", "names")

    def __init__(self, samples):
        self.images = torch.stack(samples)
        self.names = ["a"] * len(samples)


@dataclasses.dataclass(slots=True)
class SlottedFields:
    images: torch.Tensor
    words: int


def test_objects_that_hold_lists_counts_and_slots():
    listed = empty_of(IMAGE, Listed)
    assert (listed.images, listed.texts, listed.number) == ([], [], 0)
    slots = empty_of(IMAGE, InSlots)
    assert (slots.images.shape, slots.names) == ((0, 3, 4), [])
    fields = empty_of(IMAGE, lambda samples: SlottedFields(torch.stack(samples), len(samples)))
    assert (fields.images.shape, fields.words) == ((0, 3, 4), 0)


@pytest.mark.parametrize(
    "of_number",
    [
        lambda n: deque(["name"] * n, maxlen=9),
        lambda n: array("q", [3] * n),
        bytearray,
        range,
        lambda n: set(range(n)),
        lambda n: frozenset(range(n)),
    ],
)
def test_collections_of_any_kind_have_no_entry(of_number):
    found = empty_of(IMAGE, lambda samples: {"n": of_number(len(samples))})["n"]
    assert type(found) is type(of_number(1))
    assert len(found) == 0


def test_a_deque_of_tensors_is_without_rows_and_keeps_its_bound():
    found = empty_of(IMAGE, lambda samples: deque([torch.stack(samples)] * 2, maxlen=2))
    assert [part.shape for part in found] == [(0, 3, 4)] * 2
    assert found.maxlen == 2


@pytest.mark.parametrize(
    ("of_number", "expected"),
    [
        (lambda n: 5 * n, 0),
        (lambda n: torch.tensor(2.5 * n), 0.0),
        (np.float32, 0.0),
        (lambda n: np.array(3 * n), 0),
        (lambda n: -2.0 * n, 0.0),
        # what all samples share, is no number of them, or is on no line
        (lambda n: 0.3, 0.3),
        (lambda n: torch.tensor(7), 7),
        (lambda n: True, True),
        (lambda n: n * n, 0),
        (lambda n: float("nan"), float("nan")),
    ],
)
def test_a_count_of_nothing_is_nothing(of_number, expected):
    found = empty_of(IMAGE, lambda samples: {"n": of_number(len(samples))})["n"]
    assert type(found) is type(of_number(1))
    assert found == pytest.approx(expected, nan_ok=True)


def test_sparse_tensors_have_no_rows():
    found = empty_of(IMAGE, lambda samples: torch.stack(samples).to_sparse())
    assert (found.is_sparse, found.shape) == (True, (0, 3, 4))


class Fixed(list):
    """A list that nothing is taken from."""

    def __copy__(self):
        raise TypeError("a fixed list")


@pytest.mark.parametrize("merge", [torch.nn.utils.rnn.pack_sequence, Fixed])
def test_what_cannot_be_without_rows_is_refused_with_what_to_do(merge):
    with pytest.raises(RuntimeError, match=r"empty='sample'.*drop_last=True"):
        empty_of(IMAGE, merge)
    assert len(hetlib.collate([IMAGE], merge, empty="sample")([])) > 0


def readable(samples):
    return default_collate([sample for sample in samples if sample is not None])


def readable_or_nothing(samples):
    found = [sample for sample in samples if sample is not None]
    return default_collate(found) if found else None


class Broken:
    """A data set whose first samples cannot be read."""

    def __init__(self, broken, size=6):
        self.broken = broken
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, number):
        if number < self.broken:
            raise OSError("truncated file")
        return IMAGE


@pytest.mark.parametrize("merge", [readable, readable_or_nothing])
def test_a_first_sample_that_is_left_out_shows_nothing(merge):
    assert hetlib.collate([None, None, IMAGE], merge)([]).shape == (0, 3, 4)
    assert hetlib.collate(Broken(2), merge)([]).shape == (0, 3, 4)
    with pytest.raises(ValueError, match="its sample 0 or one of the next"):
        hetlib.collate([None] * 3, merge)([])
    with pytest.raises(ValueError, match="OSError: truncated file"):
        hetlib.collate(Broken(6), merge)([])


def test_samples_that_are_all_left_out_are_an_empty_batch():
    merge = hetlib.collate([None, IMAGE], readable_or_nothing)
    assert merge([None, None]).shape == (0, 3, 4)
    assert merge([None, IMAGE]).shape == (1, 3, 4)


def test_sizes_drawn_at_random_are_none_of_samples_and_no_random_state_moves():
    def of_a_random_size(samples):
        size = int(torch.randint(1, 4, ())) + random.randrange(2) + np.random.randint(2)  # noqa: NPY002
        return torch.stack(samples)[..., :size]

    of_numpy = np.random.get_state()[1].tolist()  # noqa: NPY002
    states = [torch.get_rng_state(), random.getstate(), of_numpy]
    for _ in range(20):
        found = empty_of(IMAGE, of_a_random_size)
        assert found.shape[:2] == (0, 3)
        assert found.shape[2] > 0
        torch.rand(1)
        torch.set_rng_state(states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]  # noqa: NPY002


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


def test_objects_of_all_kinds_move_whole():
    slots = moved(InSlots([IMAGE]), "meta")
    assert (slots.images.device.type, slots.names) == ("meta", ["a"])
    listed = moved(Listed([IMAGE]), "meta")
    assert [image.device.type for image in listed.images] == ["meta"]
    assert moved(Broken, "meta") is Broken
