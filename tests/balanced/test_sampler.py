"""Every sample once an epoch, over all replicas, whatever the shares."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from hetlib.balanced.sampler import BalancedSampler
from hetlib.balanced.shares import deal
from tests.balanced import situations, workers

shares_lists = st.lists(st.integers(0, 40), min_size=1, max_size=6)
shares_lists = shares_lists.filter(any)


def samplers_of(size, shares, **options):
    ranks = range(len(shares))
    return [BalancedSampler(size, shares, rank=rank, **options) for rank in ranks]


def flat(batches):
    return list(itertools.chain.from_iterable(batches))


@given(
    size=st.integers(1, 500),
    shares=shares_lists,
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 50),
)
def test_every_sample_exactly_once(size, shares, seed, epoch):
    samplers = samplers_of(size, shares, seed=seed)
    for sampler in samplers:
        sampler.set_epoch(epoch)
    first = samplers[0]
    batches = [list(sampler) for sampler in samplers]
    assert {len(steps) for steps in batches} == {len(first)}
    used = flat(flat(steps) for steps in batches)
    assert sorted(used) == list(range(size))
    for k, step in enumerate(zip(*batches, strict=True)):
        assert tuple(map(len, step)) == first.counts(k)
    for sampler, share in zip(samplers, shares, strict=True):
        *full, _ = sampler
        assert {len(step) for step in full} <= {share}


@given(samples=st.integers(0, 300), shares=shares_lists)
def test_dealing_is_proportional(samples, shares):
    samples = min(samples, sum(shares))
    takers = len([share for share in shares if share])
    counts = deal(samples, shares)
    assert sum(counts) == samples
    for count, share in zip(counts, shares, strict=True):
        assert 0 <= count <= share
        if share and samples >= takers:
            assert count >= 1
    if samples == sum(shares):
        assert counts == tuple(shares)


def test_last_step_in_proportion():
    shares = (90, 26, 9, 3)
    assert deal(64, shares) == (45, 13, 5, 1)
    assert deal(2, shares) == (2, 0, 0, 0)
    assert deal(8, shares) == (5, 1, 1, 1)
    # What the small shares got beyond theirs comes from whoever is furthest above its own.
    assert deal(5, (1764, 324, 196, 1600)) == (2, 1, 1, 1)
    assert deal(6, (1, 3, 41, 28)) == (1, 1, 3, 1)


@given(
    size=st.integers(1, 300),
    shares=shares_lists,
    data=st.data(),
)
def test_goes_on_from_a_position_with_another_plan(size, shares, data):
    before = BalancedSampler(size, shares, rank=0, seed=3)
    stop = data.draw(st.integers(0, len(before)))
    reader = iter(before)
    steps = before.steps()
    used = []
    for _ in range(stop):
        next(reader)
        _, indices = next(steps)
        used += indices.tolist()

    after = BalancedSampler(size, [sum(shares)], rank=0, seed=3)
    after.load_state_dict(reader.state_dict())
    assert after.epoch == (stop == len(before))
    if not after.epoch:
        used += flat(after)
    assert sorted(used) == list(range(size))


def test_epochs_differ_and_repeat():
    sampler = BalancedSampler(50, [8, 2], rank=0, seed=1)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert first != second
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_iterating_changes_nothing_but_the_iterator():
    sampler = BalancedSampler(50, [8, 2], rank=0, seed=1)
    before = sampler.state_dict()
    first = list(sampler)
    reader = iter(sampler)
    next(reader)
    assert sampler.state_dict() == before
    assert list(sampler) == first
    assert list(reader) == first[1:]


def test_a_pass_goes_on_from_its_own_state():
    sampler = BalancedSampler(50, [8, 2], rank=1, seed=1)
    sampler.replan([4, 6], step=3)
    sampler.set_epoch(2)
    whole = list(sampler)
    reader = iter(sampler)
    next(reader)
    state = reader.state_dict()

    fresh = BalancedSampler(50, [8, 2], rank=1, seed=1)
    resumed = iter(fresh)
    resumed.load_state_dict(state)
    assert list(resumed) == whole[1:]
    # the next pass begins its epoch anew
    assert list(fresh) == whole


def test_a_worker_s_loader_with_state_goes_on_where_the_loop_was():
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
    for workers_of_it in (0, 2):
        sampler = BalancedSampler(60, [8, 2], rank=0, seed=1)
        expected = [len(batch) for batch in sampler]
        loader = stateful(range(60), batch_sampler=sampler, num_workers=workers_of_it)
        read = []
        for batch in loader:
            read.append(batch)
            if len(read) == 2:
                state = loader.state_dict()
        again = BalancedSampler(60, [8, 2], rank=0, seed=1)
        loader = stateful(range(60), batch_sampler=again, num_workers=workers_of_it)
        loader.load_state_dict(state)
        rest = [batch.tolist() for batch in loader]
        assert rest == [batch.tolist() for batch in read[2:]]
        # then the whole epoch, as torch's samplers do
        assert [len(batch) for batch in loader] == expected


@given(
    size=st.integers(1, 300),
    shares=shares_lists,
    seed=st.integers(0, 99),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
)
def test_replicas_with_shards_draw_their_own_samples_and_all_once(
    size, shares, seed, shuffle, drop_last
):
    batch = sum(shares)
    drop_last = drop_last and size >= batch
    # the order in which the samples are owned
    own = np.random.default_rng(seed).permutation(size)
    samplers = samplers_of(
        size, shares, shards=own, seed=seed, shuffle=shuffle, drop_last=drop_last
    )
    steps = -(-size // batch)
    by_step = [deal(min(batch, size - k * batch), shares) for k in range(steps)]
    totals = np.sum(by_step, axis=0)
    borders = np.cumsum(totals)[:-1]
    shards = [set(part.tolist()) for part in np.split(own, borders)]
    expected = size // batch * batch if drop_last else size
    for epoch in range(2):
        used = []
        for sampler, shard in zip(samplers, shards, strict=True):
            sampler.set_epoch(epoch)
            used += [index for index in flat(sampler) if index in shard]
        assert len(used) == expected
        assert len(set(used)) == expected


def test_shards_are_shuffled_anew_each_epoch_and_read_in_order_without():
    own = np.arange(40)[::-1]
    shuffled = BalancedSampler(40, [6, 2], rank=1, shards=own)
    first = flat(shuffled)
    shuffled.set_epoch(1)
    second = flat(shuffled)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(10))
    ordered = BalancedSampler(40, [6, 2], rank=0, shards=own, shuffle=False)
    assert flat(ordered) == list(range(39, 9, -1))


def test_shards_must_name_every_sample():
    for wrong in ([0, 1], [0, 1, 1], [1, 2, 3]):
        words = f"`shards` has {len(wrong)} numbers; it must be some order of 0 to 2"
        with pytest.raises(ValueError, match=words):
            BalancedSampler(3, [1], rank=0, shards=wrong)


def test_drop_last_and_order():
    first, second = samplers_of(10, [2, 1], shuffle=False, drop_last=True)
    assert list(first) == [[0, 1], [3, 4], [6, 7]]
    assert list(second) == [[2], [5], [8]]


def test_with_drop_last_there_is_no_step_of_what_is_left_out():
    sampler = BalancedSampler(11, [2, 1], rank=0, drop_last=True)
    assert sampler.counts(2) == (2, 1)
    with pytest.raises(ValueError, match="`step` is 3"):
        sampler.counts(3)


@pytest.mark.parametrize("drop_last", [False, True])
def test_a_plan_of_the_next_epoch_leaves_the_shards_of_this_one(drop_last):
    """Who resumes in this epoch deals the rest of it as it began."""
    settings = {"shards": np.arange(11)[::-1], "drop_last": drop_last}
    sampler = BalancedSampler(11, [3, 1], rank=0, **settings)
    batches = list(sampler)
    order = sampler.permutation(0).tolist()
    resumed = BalancedSampler(11, [3, 1], rank=0, **settings)
    resumed.step = 1
    resumed.replan([1, 3], step=len(resumed))
    assert resumed.permutation(0).tolist() == order
    again = BalancedSampler(11, [3, 1], rank=0, **settings)
    again.load_state_dict(resumed.state_dict())
    assert list(again) == batches[1:]
    again.set_epoch(1)
    assert [len(batch) for batch in again][:2] == [1, 1]


def test_feeds_a_dataloader_that_reads_ahead():
    sampler = BalancedSampler(20, [6, 2], rank=0)
    loader = DataLoader(np.arange(20), batch_sampler=sampler, num_workers=1, prefetch_factor=3)
    assert [len(batch) for batch in loader] == [6, 6, 3]
    assert [sampler.counts(step) for step in range(3)] == [(6, 2), (6, 2), (3, 1)]
    # nothing moved
    assert sampler.state_dict()["step"] == 0


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
    size, plan, *options = arguments
    # those that are given, of two by keyword
    named = {"rank": 0}
    named.update(zip(("rank", "drop_last"), options, strict=False))
    with pytest.raises(ValueError, match=word):
        BalancedSampler(size, plan, **named)


def test_a_position_between_steps_is_refused():
    sampler = BalancedSampler(10, [3], rank=0)
    with pytest.raises(ValueError, match="position"):
        sampler.load_state_dict({"seed": 0, "position": 4})
    for step in (-1, 4):
        state = {**sampler.state_dict(), "step": step}
        with pytest.raises(ValueError, match=r"position is step .* an epoch has 4 steps"):
            sampler.load_state_dict(state)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"num_samples": 11}, "num_samples"),
        ({"plan": [2, 2]}, "global_batch"),
        ({"seed": 1}, "seed"),
        ({"shuffle": False}, "shuffle"),
        ({"drop_last": True}, "drop_last"),
        ({"shards": np.arange(10)}, "shards"),
    ],
)
def test_a_state_that_does_not_fit_names_the_field(changes, field):
    settings = {"num_samples": 10, "plan": [3], "rank": 0}
    state = BalancedSampler(**settings).state_dict()
    with pytest.raises(ValueError, match=f"the state has `{field}`"):
        BalancedSampler(**{**settings, **changes}).load_state_dict(state)


def test_a_replica_without_samples_loads_empty_batches(team):
    image = (situations.BANDS, situations.SIZE, situations.SIZE)
    first, second = team(1, 1).run(workers.loaded_batches)
    assert first == [(n, *image, n) for n in (6, 6, 4)]
    assert second == [(0, *image, 0)] * 3


def state_of_epoch(epoch):
    sampler = BalancedSampler(40, [6, 2], rank=0)
    sampler.set_epoch(epoch)
    return sampler.state_dict()


def test_an_epoch_that_was_set_follows_a_pass_that_loads_an_older_one():
    sampler = BalancedSampler(40, [6, 2], rank=0)
    sampler.set_epoch(3)
    iter(sampler).load_state_dict(state_of_epoch(2))
    assert sampler.epoch == 3


def test_an_epoch_that_was_dealt_does_not_come_back_where_an_older_one_is_loaded():
    sampler = BalancedSampler(40, [6, 2], rank=0)
    sampler.set_epoch(3)
    list(sampler)
    iter(sampler).load_state_dict(state_of_epoch(1))
    assert sampler.epoch == 1
