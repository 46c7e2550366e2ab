"""The loader deals each sample once, and its position is what was trained."""

import copy
import itertools
import multiprocessing
import pickle
from collections import deque

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

import hetlib
from hetlib.balanced.loss import balanced_loader
from tests.balanced.workers import sizes_after_resuming, sizes_of_a_group

SHARES = (6, 2)


def loaders_of(size=20, shares=SHARES, **options):
    return [
        hetlib.BalancedLoader(range(size), shares, rank=rank, **options)
        for rank in range(len(shares))
    ]


def one(size=20, shares=SHARES, rank=0, **options):
    return hetlib.BalancedLoader(range(size), shares, rank=rank, **options)


def a_loss():
    return torch.ones(2, requires_grad=True).mean()


def position(loader):
    state = loader.state_dict()
    return state["epoch"], state["step"]


def train(loader, steps=None, **options):
    """Balance so many steps of an epoch; return what was read."""
    read = []
    for batch in itertools.islice(loader, steps):
        hetlib.balance(a_loss(), loader, **options)
        read.append(batch.tolist())
    return read


def flat(batches):
    return list(itertools.chain.from_iterable(batches))


# Where the training is


def test_the_position_moves_with_each_balanced_batch_and_with_the_end_of_a_pass():
    loader = one()
    seen = []
    for _ in loader:
        seen.append((loader.epoch, loader.step, loader.counts, position(loader)))
        hetlib.balance(a_loss(), loader)
        # a second loss of the batch moves nothing
        hetlib.balance(a_loss(), loader)
        seen.append(position(loader))
    assert seen == [
        (0, 0, (6, 2), (0, 0)),
        (0, 1),
        (0, 1, (6, 2), (0, 1)),
        (0, 2),
        (0, 2, (3, 1), (0, 2)),
        (1, 0),
    ]


def test_a_pass_that_nobody_balances_ends_with_its_last_batch():
    loader = one()
    reader = iter(loader)
    for _ in range(len(loader)):
        assert position(loader) == (0, 0)
        next(reader)
    assert position(loader) == (1, 0)
    assert next(reader, None) is None
    assert position(loader) == (1, 0)


@pytest.mark.parametrize("size", [20, 8, 5])
def test_a_look_at_the_first_batch_changes_nothing(size):
    first, second = loaders_of(size, seed=3)
    next(iter(first))
    assert position(first) == (0, 0)
    for epoch in range(2):
        read = [*flat(train(first)), *flat(train(second))]
        assert sorted(read) == list(range(size))
        assert position(first) == position(second) == (epoch + 1, 0)


def test_a_look_at_the_last_batch_of_an_epoch_changes_nothing():
    loader = one()
    train(loader, 2)
    next(iter(loader))
    assert position(loader) == (0, 2)
    assert len(train(loader)) == 1
    assert position(loader) == (1, 0)


def test_an_evaluation_reads_the_whole_epoch_and_changes_nothing():
    loader = one(seed=3)
    trained = train(loader, 1)
    whole = [batch.tolist() for batch in one(seed=3)]
    for guard in (torch.no_grad, torch.inference_mode):
        with guard():
            assert [batch.tolist() for batch in loader] == whole
    assert position(loader) == (0, 1)
    assert trained + train(loader) == whole


def test_an_evaluation_in_the_midst_of_a_pass_leaves_its_counts():
    loader = one()
    for _ in loader:
        before = loader.counts, loader.step
        with torch.no_grad():
            assert len(list(loader)) == 3
        assert (loader.counts, loader.step) == before
        hetlib.balance(a_loss(), loader)
    assert position(loader) == (1, 0)


def test_the_present_epoch_set_again_changes_nothing():
    loader = one()
    loader.set_epoch(0)
    trained = train(loader, 2)
    loader.set_epoch(0)
    reader = iter(loader)
    loader.set_epoch(0)
    trained.append(next(reader).tolist())
    loader.set_epoch(0)
    hetlib.balance(a_loss(), loader)
    assert trained == [batch.tolist() for batch in one()]
    loader.set_epoch(1)
    assert position(loader) == (1, 0)


def test_another_epoch_begins_with_the_next_pass():
    loader = one()
    for _ in loader:
        loader.set_epoch(4)
        # of the pass that is on its way
        assert loader.counts == (6, 2)
        hetlib.balance(a_loss(), loader)
        break
    assert position(loader) == (4, 0)
    assert loader.epoch == 4
    expected = one()
    expected.set_epoch(4)
    assert train(loader) == train(expected)


# Loops that read ahead


def reading_ahead(loader, depth, epochs=1):
    """Give each batch when more have been read, also over the end of an epoch."""
    held = deque()
    for _ in range(epochs):
        for batch in loader:
            held.append(batch)
            if len(held) > depth:
                yield held.popleft()
    yield from held


@pytest.mark.parametrize("depth", [1, 2])
def test_a_loop_that_reads_ahead_is_where_it_has_balanced(depth):
    loader = one(28)
    expected = [(number // 4, number % 4) for number in range(1, 9)]
    found = []
    for batch in reading_ahead(loader, depth, epochs=2):
        hetlib.balance(a_loss(), loader, count=len(batch))
        found.append(position(loader))
    assert found == expected


@pytest.mark.parametrize("depth", [1, 2])
def test_a_state_saved_before_a_batch_is_balanced_is_without_it(depth):
    loader = one(28)
    for number, batch in enumerate(reading_ahead(loader, depth)):
        assert position(loader) == (0, number)
        hetlib.balance(a_loss(), loader, count=len(batch))


def test_a_loop_that_reads_ahead_is_told_to_count():
    loader = one()
    next(reading_ahead(loader, 1))
    with pytest.raises(RuntimeError, match="the loop reads ahead or skips"):
        hetlib.balance(a_loss(), loader)


def kept_in_a_list(loader):
    """Read the batches of the first epoch, each once balanced, again and again."""
    batches = []
    for batch in loader:
        batches.append(batch)
        yield batch
    while True:
        yield from batches


@pytest.mark.parametrize("keeping", [itertools.cycle, kept_in_a_list])
@pytest.mark.parametrize("workers", [0, 1])
def test_batches_that_somebody_has_kept_are_to_be_counted(keeping, workers):
    loader = one(num_workers=workers)
    batches = keeping(loader)
    for _ in range(len(loader)):
        next(batches)
        hetlib.balance(a_loss(), loader)
    kept = next(batches)
    with pytest.raises(RuntimeError, match="its last batch was balanced: is this one of"):
        hetlib.balance(a_loss(), loader)
    hetlib.balance(a_loss(), count=len(kept))
    # the loader itself goes on
    assert len(train(loader)) == len(loader)


def test_another_loss_of_the_last_batch_is_right_while_its_pass_goes_on():
    loader = one()
    for _ in zip(range(len(loader)), loader, strict=False):
        hetlib.balance(a_loss(), loader)
    hetlib.balance(a_loss(), loader)
    assert position(loader) == (1, 0)


# States


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_every_sample_once_over_a_resume_in_mid_epoch(workers, stop):
    options = {"num_workers": workers, "seed": 3}
    read = []
    for rank in range(2):
        loader = one(28, rank=rank, **options)
        read += flat(train(loader, stop))
        state = pickle.loads(pickle.dumps(loader.state_dict()))
        resumed = one(28, rank=rank, **options)
        resumed.load_state_dict(state)
        read += flat(train(resumed))
        assert position(resumed) == (1, 0)
    assert sorted(read) == list(range(28))


def test_a_state_holds_the_plans_and_other_shares_take_over():
    loader = one(28, seed=3)
    train(loader, 1)
    loader.replan([1, 7])
    train(loader, 1)
    same = one(28, seed=3)
    same.load_state_dict(loader.state_dict())
    assert [len(batch) for batch in train(same)] == [1, 1]
    others = [one(28, (4, 0, 4), rank=rank, seed=3) for rank in range(3)]
    rest = []
    for other in others:
        other.load_state_dict(loader.state_dict())
        rest += flat(train(other))
    assert len(set(rest)) == len(rest) == 12


def test_a_state_of_another_training_names_the_field():
    state = one().state_dict()
    with pytest.raises(ValueError, match="`global_batch` 8, but here it is 6"):
        one(shares=(4, 2)).load_state_dict(state)
    with pytest.raises(ValueError, match="the state lacks"):
        one().load_state_dict({"epoch": 1})


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda loader: pickle.loads(pickle.dumps(loader))]
)
def test_a_copy_goes_on_by_itself(copied):
    loader = one(num_workers=1, persistent_workers=True)
    train(loader, 1)
    other = copied(loader)
    assert position(other) == (0, 1)
    assert train(other) == train(loader)
    hetlib.balance(a_loss(), other, count=1)
    assert position(other) == position(loader) == (1, 0)


# Shares that change


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_keeps_the_counts_that_it_was_dealt_by(workers):
    loader = one(48, num_workers=workers, prefetch_factor=2 if workers else None)
    seen = []
    for batch in loader:
        seen.append((len(batch), loader.counts))
        hetlib.balance(a_loss(), loader)
        if loader.step == 0:
            loader.replan([1, 7])
    assert [count for count, _ in seen] == [counts[0] for _, counts in seen]
    # one worker has read two more
    assert [count for count, _ in seen] == [6] * (1 + 2 * workers) + [1] * (5 - 2 * workers)


@pytest.mark.parametrize("resumed", [False, True])
def test_a_change_while_a_later_one_waits_takes_its_place(resumed):
    """Workers that read ahead put a change off; who resumes before it has read nothing of that."""
    loader = one(80)
    train(loader, 2)
    loader.replan([1, 7], step=6)
    if resumed:
        state = loader.state_dict()
        loader = one(80)
        loader.load_state_dict(state)
    train(loader, 1)
    loader.replan([4, 4])
    assert loader.shares == (4, 4)
    assert [len(batch) for batch in train(loader)] == [6] * 3 + [4] * 4
    loader.replan([2, 6])
    assert [len(batch) for batch in train(loader, 2)] == [2, 2]


def test_replicas_of_a_group_agree_without_the_others(team):
    first, second, other = team(1, 1, 1).run(sizes_of_a_group)
    assert first == [6] * 3 + [1] * 7
    assert second == [2] * 3 + [7] * 7
    assert other == []


def test_replicas_that_resume_change_at_one_step_while_a_later_change_waits(team):
    """The first change was put off by workers that the resumed loaders do not have."""
    first, second = team(1, 1).run(sizes_after_resuming)
    assert first == [6] * 6 + [4] * 4
    assert second == [2] * 6 + [4] * 4


def test_a_step_that_was_read_is_not_planned_anew():
    loader = one()
    train(loader, 2)
    with pytest.raises(ValueError, match="has read as far as step 2; allowed is step >= 2"):
        loader.replan([1, 7], step=1)
    with pytest.raises(ValueError, match=r"`plan` is \(1, 6\)"):
        loader.replan([1, 6])
    loader.replan([1, 7], step=3)
    assert [len(batch) for batch in loader] == [3]
    assert [len(batch) for batch in loader] == [1, 1, 1]


# What is read


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_start_with_the_pass(persistent):
    before = set(multiprocessing.active_children())
    loader = one(num_workers=2, persistent_workers=persistent)
    reader = iter(loader)
    assert len(set(multiprocessing.active_children()) - before) == 2
    epochs = [[batch.tolist() for batch in reader]]
    epochs += [[batch.tolist() for batch in loader] for _ in range(2)]
    assert {len(batches) for batches in epochs} == {3}
    assert len({str(batches) for batches in epochs}) == 3


def test_a_sample_that_cannot_be_read_takes_its_step_along():
    class Broken:
        def __len__(self):
            return 20

        def __getitem__(self, index):
            if index == 6:
                raise OSError("no such scene")
            return index

    loader = hetlib.BalancedLoader(Broken(), SHARES, rank=0, shuffle=False, num_workers=0)
    reader = iter(loader)
    assert len(next(reader)) == 6
    hetlib.balance(a_loss(), loader)
    loader = hetlib.BalancedLoader(Broken(), SHARES, rank=1, shuffle=False)
    reader = iter(loader)
    with pytest.raises(OSError, match="no such scene"):
        next(reader)
    next(reader)
    assert loader.step == 1


def test_the_job_is_asked_when_the_first_batch_is_read():
    loader = hetlib.BalancedLoader(range(8), SHARES)
    assert len(loader) == 1
    with pytest.raises(ValueError, match="there is no job; start it with torchrun"):
        next(iter(loader))
    alone = hetlib.BalancedLoader(range(8), [8])
    assert len(next(iter(alone))) == 8


@pytest.mark.parametrize("held", ["_dataloader", "base_dataloader"])
def test_a_framework_s_wrapper_is_seen_through(held):
    class Wrapper:
        def __init__(self, loader):
            self.__dict__.update(loader.__dict__)
            setattr(self, held, loader)

    loader = one()
    assert balanced_loader(Wrapper(Wrapper(loader))) is loader
    with pytest.raises(TypeError, match="pass the BalancedLoader that deals the batches"):
        balanced_loader(Wrapper(torch.utils.data.DataLoader(range(3))))


def test_an_accelerator_leaves_the_loader_as_it_is():
    accelerate = pytest.importorskip("accelerate")
    loader = one()
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    assert accelerator.prepare(loader) is loader
    # what `join_uneven_inputs` asks for on GPUs, and `save_state` everywhere
    assert not loader.batch_sampler.even_batches
    assert loader.use_stateful_dataloader
    synced = []
    for _ in range(2):
        for _ in loader:
            with accelerator.accumulate():
                hetlib.balance(a_loss(), loader)
                synced.append(accelerator.sync_gradients)
    # the last window of an epoch has one step
    assert synced == [False, True, True] * 2
    assert position(copy.deepcopy(loader)) == (2, 0)
    with torch.no_grad():
        assert len(list(loader)) == 3


# Samples that are left out or filled in


@pytest.mark.parametrize("workers", [0, 1])
def test_what_another_loader_reads_of_an_epoch_is_counted_and_followed(workers):
    loader = one()
    train(loader, 1)
    state = loader.state_dict()
    loader = one(num_workers=workers)
    loader.load_state_dict(state)
    # as Accelerate's `skip_first_batches` makes it: all steps of the epoch, of which some are left
    rest = DataLoader(
        range(20), batch_sampler=loader.batch_sampler, num_workers=workers, collate_fn=list
    )
    batches = itertools.islice(rest, 1, None)
    assert next(batches) == flat(one())[6:12]
    with pytest.raises(RuntimeError, match="another loader reads the sampler of this one"):
        hetlib.balance(a_loss(), loader)
    hetlib.balance(a_loss(), loader, count=6)
    assert next(batches) == flat(one())[12:]
    hetlib.balance(a_loss(), loader, count=3)
    assert list(batches) == []
    assert position(loader) == (1, 0)
    other = one()
    other.set_epoch(1)
    assert train(loader) == train(other)


def test_a_look_at_the_sampler_changes_nothing():
    loader = one()
    read = []
    for batch in loader:
        list(loader.batch_sampler)
        hetlib.balance(a_loss(), loader)
        read.append(batch.tolist())
    assert read == train(one())
    assert position(loader) == (1, 0)


def test_a_filler_has_no_weight_however_it_is_counted():
    for options in ({}, {"samples": 1}, {"count": 1}, {"count": hetlib.announce(0)}):
        loader = one(shares=(8, 0), rank=1, empty="sample")
        batch = next(iter(loader))
        assert len(batch) == 1
        x = torch.ones(2, requires_grad=True)
        hetlib.balance((x * batch).mean(), loader, **options).backward()
        assert x.grad.tolist() == [0.0, 0.0]
    with pytest.raises(RuntimeError, match="announce 0"):
        hetlib.balance(a_loss(), loader, count=hetlib.announce(1))


def without_one(samples):
    return torch.tensor(samples[1:]), torch.zeros(len(samples) - 1, 3)


def time_first(samples):
    return torch.zeros(4, len(samples), 2), torch.zeros(4, len(samples))


def two_views(samples):
    return torch.zeros(2 * len(samples), 3), torch.zeros(2 * len(samples))


def packed(samples):
    return torch.zeros(1, 9), torch.zeros(len(samples) + 1)


def names(samples):
    return [str(sample) for sample in samples]


def images_in_a_list(samples):
    return [torch.zeros(3, 4, 5) for _ in samples], [str(sample) for sample in samples]


def grey_images_in_a_list(samples):
    return [torch.zeros(1, 4, 5) for _ in samples]


@pytest.mark.parametrize(
    "merge",
    [time_first, two_views, packed, names, images_in_a_list, grey_images_in_a_list],
)
def test_a_batch_of_any_form_is_taken(merge):
    loader = one(collate_fn=merge)
    for _ in loader:
        hetlib.balance(a_loss(), loader)


def test_a_batch_that_lacks_samples_is_to_be_counted():
    loader = one(collate_fn=without_one)
    batch, _ = next(iter(loader))
    words = r"the batch has 5 rows, but 6 samples were dealt .*count=len\(targets\)"
    with pytest.raises(RuntimeError, match=words):
        hetlib.balance(a_loss(), loader)
    hetlib.balance(a_loss(), loader, count=len(batch))
    assert position(loader) == (0, 1)


def kept(samples):
    """Every third sample cannot be decoded."""
    return [sample for sample in samples if sample % 3]


def as_many_features(samples):
    return torch.zeros(len(kept(samples)), 6), torch.zeros(len(kept(samples)))


def many_steps_first(samples):
    return torch.zeros(9, len(kept(samples)), 6)


def boxes(samples):
    found = [torch.zeros(1 + sample % 2, 4) for sample in kept(samples)]
    return torch.zeros(len(found), 3), found


def decoded_images_in_a_list(samples):
    return [torch.zeros(6, 4) for _ in kept(samples)], [str(sample) for sample in kept(samples)]


def arrays(samples):
    return {"x": np.zeros((len(kept(samples)), 6))}


def behind_a_table(samples):
    return torch.zeros(6, 3), torch.zeros(len(kept(samples)))


@pytest.mark.parametrize(
    "merge",
    [
        as_many_features,
        many_steps_first,
        boxes,
        decoded_images_in_a_list,
        arrays,
        behind_a_table,
    ],
)
def test_samples_that_are_left_out_are_missed_in_batches_of_any_form(merge):
    loader = one(shuffle=False, collate_fn=merge)
    next(iter(loader))
    with pytest.raises(RuntimeError, match="has 4 rows, but 6 samples were dealt"):
        hetlib.balance(a_loss(), loader)


# Arguments


class Endless(IterableDataset):
    def __iter__(self):
        return iter(range(3))


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((range(8), SHARES), {"batch_size": 4}, "`batch_size` is given, but `plan` says"),
        ((range(8), SHARES), {"batch_sampler": []}, "`batch_sampler` is given"),
        ((range(8), SHARES), {"num_workers": "2"}, "`num_workers` is '2'; it must be a whole"),
        ((range(8), SHARES), {"num_workers": -1}, "`num_workers` is -1"),
        ((range(8), SHARES), {"pin_memory": "yes"}, "`pin_memory` is 'yes'; it must be True"),
        ((range(8), SHARES), {"timeout": None}, "`timeout` is None"),
        ((range(8), SHARES), {"in_order": False}, "`in_order` is False"),
        ((range(8), SHARES), {"empty": "none"}, "`empty` is 'none'; allowed"),
        ((range(8), SHARES), {"collate_fn": torch.zeros(2, 2)}, "`collate_fn` is tensor"),
        ((range(8), SHARES), {"collate_fn": ""}, "`collate_fn` is ''; it must be a function"),
        ((range(8), SHARES), {"rank": 2}, "`rank` is 2, but the plan has 2 replicas"),
        ((range(8), []), {}, "`plan` has the shares"),
        ((Endless(), SHARES), {}, "`dataset` is a Endless without a length"),
        (([], SHARES), {}, "the length of `dataset` is 0"),
        ((range(3), SHARES), {"drop_last": True}, "the length of `dataset` is 3; with `drop_last"),
        ((range(8), SHARES), {"sampler": []}, "`sampler` is a list that gives no query"),
        ((range(8), SHARES), {"sampler": 8}, "`sampler` is 8; it must be None, or a sampler"),
        ((range(8), SHARES), {"sampler": "ab"}, "`sampler` is 'ab'; it must be None"),
        ((range(8), SHARES), {"sampler": [0.5]}, "`sampler` is 0.5; it must be a sampler of"),
    ],
)
def test_wrong_arguments_are_named(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        hetlib.BalancedLoader(*arguments, **options)
