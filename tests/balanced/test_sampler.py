"""Every sample once an epoch, over all replicas, whatever the shares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from hetlib.balanced.sampler import BalancedSampler, deal

shares_lists = st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(
    lambda shares: sum(shares) > 0
)


def read(size, shares, **options):
    samplers = [BalancedSampler(size, shares, rank=r, **options) for r in range(len(shares))]
    return [list(sampler) for sampler in samplers]


@given(st.integers(1, 500), shares_lists, st.integers(0, 2**31), st.integers(0, 50))
def test_every_sample_exactly_once(size, shares, seed, epoch):
    samplers = [BalancedSampler(size, shares, rank=r, seed=seed) for r in range(len(shares))]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    batches = [list(sampler) for sampler in samplers]
    assert {len(steps) for steps in batches} == {len(samplers[0])}
    used = [i for steps in batches for step in steps for i in step]
    assert sorted(used) == list(range(size))
    for k in range(len(samplers[0])):
        assert tuple(len(steps[k]) for steps in batches) == samplers[0].counts(k)
    for sampler, share in zip(samplers, shares, strict=True):
        assert all(len(step) == share for step in list(sampler)[:-1])


@given(st.integers(0, 300), shares_lists)
def test_dealing_is_proportional(samples, shares):
    samples = min(samples, sum(shares))
    counts = deal(samples, shares)
    assert sum(counts) == samples
    for count, share in zip(counts, shares, strict=True):
        assert 0 <= count <= share
        if samples >= len([s for s in shares if s]) and share:
            assert count >= 1
    if samples == sum(shares):
        assert counts == tuple(shares)


def test_last_step_in_proportion():
    assert deal(64, (90, 26, 9, 3)) == (45, 13, 5, 1)
    assert deal(2, (90, 26, 9, 3)) == (2, 0, 0, 0)
    assert deal(8, (90, 26, 9, 3)) == (5, 1, 1, 1)
    # What the small shares got beyond theirs comes from whoever is furthest above its own.
    assert deal(5, (1764, 324, 196, 1600)) == (2, 1, 1, 1)
    assert deal(6, (1, 3, 41, 28)) == (1, 1, 3, 1)


@given(st.integers(1, 300), shares_lists, st.data())
def test_goes_on_from_a_position_with_another_plan(size, shares, data):
    before = BalancedSampler(size, shares, rank=0, seed=3)
    stop = data.draw(st.integers(0, len(before)))
    steps = before.steps()
    used = [i for _ in range(stop) for i in next(steps)[1]]
    after = BalancedSampler(size, [sum(shares)], rank=0, seed=99)
    after.load_state_dict(before.state_dict())
    if after.step or not stop:
        used += [i for step in after for i in step]
    assert sorted(used) == list(range(size))


def test_epochs_differ_and_repeat():
    sampler = BalancedSampler(50, [8, 2], rank=0, seed=1)
    first, second = list(sampler), list(sampler)
    assert first != second
    sampler.set_epoch(0)
    assert list(sampler) == first


@given(st.integers(1, 300), shares_lists, st.integers(0, 99), st.booleans(), st.booleans())
def test_replicas_with_shards_draw_their_own_samples_and_all_once(
    size, shares, seed, shuffle, drop_last
):
    drop_last = drop_last and size >= sum(shares)
    own = np.random.default_rng(seed).permutation(size)  # the order in which the samples are owned
    options = {"seed": seed, "shuffle": shuffle, "drop_last": drop_last}
    samplers = [
        BalancedSampler(size, shares, rank=r, shards=own, **options) for r in range(len(shares))
    ]
    steps = -(-size // sum(shares))
    totals = np.sum([samplers[0].counts(k) for k in range(steps)], axis=0)
    shards = [set(part.tolist()) for part in np.split(own, np.cumsum(totals)[:-1])]
    for _ in range(2):  # epochs
        used = [
            i
            for r, sampler in enumerate(samplers)
            for step in sampler
            for i in step
            if i in shards[r]
        ]
        assert (
            len(set(used))
            == len(used)
            == (size // sum(shares) * sum(shares) if drop_last else size)
        )


def test_shards_are_shuffled_anew_each_epoch_and_read_in_order_without():
    own = np.arange(40)[::-1]
    shuffled = BalancedSampler(40, [6, 2], rank=1, shards=own)
    first, second = ([i for step in shuffled for i in step] for _ in range(2))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(10))
    ordered = BalancedSampler(40, [6, 2], rank=0, shards=own, shuffle=False)
    assert [i for step in ordered for i in step] == list(range(39, 9, -1))


def test_shards_must_name_every_sample():
    for wrong in ([0, 1], [0, 1, 1], [1, 2, 3]):
        with pytest.raises(
            ValueError, match=f"`shards` has {len(wrong)} numbers; it must be some order of 0 to 2"
        ):
            BalancedSampler(3, [1], rank=0, shards=wrong)


def test_drop_last_and_order():
    assert read(10, [2, 1], shuffle=False, drop_last=True) == [
        [[0, 1], [3, 4], [6, 7]],
        [[2], [5], [8]],
    ]


def test_feeds_a_dataloader_that_reads_ahead():
    sampler = BalancedSampler(20, [6, 2], rank=0)
    loader = DataLoader(np.arange(20), batch_sampler=sampler)
    assert [len(batch) for batch in loader] == [6, 6, 3]
    assert list(sampler.dealt) == [(6, 2), (6, 2), (3, 1)]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((10, []), "plan"),
        ((10, [0, 0]), "plan"),
        ((10, [4, -1]), "plan"),
        ((0, [4]), "num_samples"),
        ((10, [4], 3), "rank"),
        ((3, [4], 0, True), "drop_last"),
    ],
)
def test_wrong_arguments_are_named(arguments, word):
    size, plan, rank, drop_last = (*arguments, 0, False)[: len(arguments)] + (0, False)[
        len(arguments) - 2 :
    ]
    with pytest.raises(ValueError, match=word):
        BalancedSampler(size, plan, rank=rank, drop_last=drop_last)


def test_a_position_between_steps_is_refused():
    with pytest.raises(ValueError, match="position"):
        BalancedSampler(10, [3], rank=0).load_state_dict({"seed": 0, "position": 4})
