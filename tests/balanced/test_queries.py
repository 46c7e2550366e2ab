"""Samplers that draw queries at random: the same on every replica, each dealt once."""

# ruff: noqa: NPY002 -- samplers draw from the generators that everybody shares

import random

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DistributedSampler, RandomSampler, SubsetRandomSampler

import hetlib


class Windows:
    """Draws windows of a scene, as geographic samplers do: by whatever generator is at hand."""

    def __init__(self, number, generator=None):
        self.number = number
        self.generator = generator

    def __iter__(self):
        for _ in range(self.number):
            place = torch.rand(2, generator=self.generator)
            turn = random.random() + np.random.random() + float(torch.rand(()))
            yield (float(place[0]), float(place[1]), turn)


class InBatches(Windows):
    """Gives lists of windows."""

    def __iter__(self):
        drawn = list(super().__iter__())
        yield from ([*drawn[:5]], [*drawn[5:]])


class Scene(torch.utils.data.Dataset):
    """Read by windows alone."""

    def __getitem__(self, window):
        assert isinstance(window, tuple)
        return {"image": torch.tensor(window, dtype=torch.float64), "window": window}


def dealt(sampler, epoch, shares=(4, 2)):
    """Return the queries of each replica in an epoch; each has its own random state."""
    by_rank = []
    for rank in range(len(shares)):
        torch.manual_seed(rank)
        random.seed(rank)
        np.random.seed(rank)
        of_rank = hetlib.BalancedSampler(sampler, shares, rank=rank, seed=7)
        of_rank.set_epoch(epoch)
        by_rank.append(list(of_rank))
    return by_rank


@pytest.mark.parametrize("kind", [Windows, InBatches])
@pytest.mark.parametrize("own", [False, True])
def test_each_query_is_dealt_once_on_replicas_of_any_random_state(kind, own):
    epochs = []
    for epoch in range(2):
        generator = torch.Generator() if own else None
        first, second = dealt(kind(9, generator), epoch)
        assert [len(batch) for batch in first] == [4, 2]
        assert [len(batch) for batch in second] == [2, 1]
        windows = [window for batch in (*first, *second) for window in batch]
        assert len(set(windows)) == 9
        again = dealt(kind(9, generator), epoch)
        assert again == [first, second]
        epochs.append(windows)
    assert not set(epochs[0]) & set(epochs[1])


class Shuffled:
    """An order of numbers by generators that the sampler keeps."""

    def __init__(self):
        self.of_numpy = np.random.default_rng()
        self.of_python = random.Random()

    def __iter__(self):
        order = self.of_numpy.permutation(24).tolist()
        self.of_python.shuffle(order)
        return iter(order)


class ByEpoch:
    """An order that belongs to the epoch, as DistributedSampler's does."""

    epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.epoch)
        return iter(torch.randperm(24, generator=generator).tolist())


@pytest.mark.parametrize("kind", [Shuffled, ByEpoch])
def test_generators_of_any_kind_and_epochs_are_the_same_on_every_replica(kind):
    epochs = []
    for epoch in range(2):
        first, _ = dealt(kind(), epoch)
        _, second = dealt(kind(), epoch)  # a replica has a sampler of its own
        numbers = [number for batch in (*first, *second) for number in batch]
        assert sorted(numbers) == list(range(24))
        epochs.append(numbers)
    assert epochs[0] != epochs[1]


class ByTheSystem:
    def __iter__(self):
        return iter(np.random.default_rng().permutation(24).tolist())


class Counting(ByEpoch):
    """Counts its own epochs."""

    def __iter__(self):
        self.epoch += 1
        return super().__iter__()


def test_a_sampler_that_draws_from_the_system_is_refused():
    with pytest.raises(ValueError, match="ByTheSystem that draws other numbers"):
        hetlib.BalancedSampler(ByTheSystem(), [4, 2], rank=0)
    assert len(hetlib.BalancedSampler(Counting(), [4, 2], rank=0)) == 4


def test_drawing_leaves_the_random_states_as_they_were():
    generator = torch.Generator()
    before = (torch.rand(()), generator.get_state(), random.getstate(), np.random.get_state()[1])
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    list(hetlib.BalancedSampler(Windows(9, generator), [4, 2], rank=0))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(generator.get_state(), before[1])
    assert random.getstate() == before[2]
    assert (np.random.get_state()[1] == before[3]).all()


def test_the_order_is_the_sampler_s():
    sampler = hetlib.BalancedSampler([*"abcdefg"], [2, 1], rank=0)
    assert list(sampler) == [["a", "b"], ["d", "e"], ["g"]]


def test_torch_s_own_samplers_are_drawn_for_all():
    sampler = BatchSampler(RandomSampler(range(12)), 4, drop_last=False)
    first, second = dealt(sampler, 0)
    numbers = [number for batch in (*first, *second) for number in batch]
    assert sorted(numbers) == list(range(12))


def test_a_loader_reads_queries_and_an_empty_batch_looks_like_one():
    for empty, rows in (("rows", 0), ("sample", 1)):
        loader = hetlib.BalancedLoader(
            Scene(), [3, 0], rank=1, sampler=Windows(6), empty=empty, seed=7
        )
        for batch in loader:
            assert batch["image"].shape == (rows, 3)
            assert loader.counts == (3, 0)


@pytest.mark.parametrize(("empty", "rows"), [("rows", 0), ("sample", 1)])
def test_an_empty_batch_is_made_wherever_the_numbers_begin(empty, rows):
    data = torch.utils.data.TensorDataset(torch.zeros(1000, 3))
    loader = hetlib.BalancedLoader(
        data, [8, 0], rank=1, sampler=SubsetRandomSampler(range(500, 600)), empty=empty
    )
    for (batch,) in loader:
        assert batch.shape == (rows, 3)


def test_samples_left_out_are_missed_wherever_the_numbers_begin():
    def odd_ones(samples):
        kept = [image for (image,) in samples if image[0] % 2]
        return {"image": torch.stack(kept)} if kept else None

    data = torch.utils.data.TensorDataset(torch.arange(3000.0).reshape(1000, 3))
    loader = hetlib.BalancedLoader(
        data,
        [8],
        rank=0,
        sampler=SubsetRandomSampler(range(500, 600)),
        collate_fn=odd_ones,
    )
    batch = next(iter(loader))
    loss = torch.nn.Linear(3, 1)(batch["image"]).mean()
    with pytest.raises(RuntimeError, match="rows, but 8 samples were dealt"):
        hetlib.balance(loss, loader)


def test_what_cannot_be_dealt_is_named():
    alone = DistributedSampler(range(8), num_replicas=2, rank=0)
    with pytest.raises(ValueError, match="DistributedSampler, which deals to the replicas itself"):
        hetlib.BalancedSampler(alone, [4], rank=0)
    with pytest.raises(ValueError, match="`num_samples` is a list that gives no query"):
        hetlib.BalancedSampler([], [4], rank=0)
    for fractions in ([2.9, 1.2], torch.rand(4).tolist(), [np.float64(1.5)]):
        with pytest.raises(ValueError, match=r"`num_samples` is .*it must be a sampler of whole"):
            hetlib.BalancedSampler(fractions, [4], rank=0)
    with pytest.raises(ValueError, match="`shards` names samples by their numbers"):
        hetlib.BalancedSampler([5, 6], [2], rank=0, shards=[1, 0])
    growing = Windows(4)
    sampler = hetlib.BalancedSampler(growing, [4], rank=0)
    growing.number = 5
    sampler.set_epoch(1)
    with pytest.raises(RuntimeError, match="5 queries in epoch 1, and 4 in the first"):
        list(sampler)
