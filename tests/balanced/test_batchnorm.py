"""BatchNorm over uneven replicas equals one process on the whole batch."""

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import hetlib
from hetlib.balanced import batchnorm
from hetlib.balanced.batchnorm import BalancedBatchNorm
from tests.balanced import workers_batchnorm as workers
from tests.balanced.workers_batchnorm import relative_error

PLAIN = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
BALANCED = {
    1: batchnorm.BalancedBatchNorm1d,
    2: batchnorm.BalancedBatchNorm2d,
    3: batchnorm.BalancedBatchNorm3d,
}


@pytest.fixture
def pool(team):
    """Three replicas; more or fewer start where a test needs them."""
    return team(1, 1, 1)


def largest_error(found, expected) -> float:
    assert len(found) == len(expected)
    errors = [relative_error(one, other) for one, other in zip(found, expected, strict=True)]
    return max(errors, default=0.0)


def difference_of_ranks(by_rank, kind) -> float:
    """Return the largest difference of any number from that of rank 0."""
    largest = 0.0
    for rank in by_rank:
        for own, first in zip(rank[kind], by_rank[0][kind], strict=True):
            largest = max(largest, float(np.abs(own - first).max()))
    return largest


def worst(case, by_rank) -> dict[str, float]:
    """Return the largest relative error of each kind of number, and how far ranks differ."""
    expected = workers.reference(case)
    found = {}
    # DDP divides by P behind the inputs' gradients
    for kind, scale in (("outputs", 1), ("inputs", len(by_rank))):
        steps = []
        for step, whole in enumerate(expected[kind]):
            parts = np.concatenate([rank[kind][step] for rank in by_rank]) / scale
            assert parts.shape == whole.shape
            steps.append(parts)
        found[kind] = largest_error(steps, expected[kind])
    for kind in ("parameters", "buffers", "evaluation"):
        found[kind] = largest_error(by_rank[0][kind], expected[kind])
    of_ranks = [difference_of_ranks(by_rank, kind) for kind in ("parameters", "buffers")]
    return found | {"ranks differ": max(of_ranks)}


def check(cases, by_rank) -> None:
    """Compare every case with one process: equal to rounding, and on all ranks to the bit."""
    for case, *ranks in zip(cases, *by_rank, strict=True):
        found = worst(case, ranks)
        assert found.pop("ranks differ") == 0, case
        assert max(found.values()) < 1e-10, (case, found)


def random_case(rng, replicas: int, dims: int) -> dict:
    """Return random shares, some of them 0; the last step of an epoch is short."""
    shares = rng.integers(1, 9, replicas) * (rng.random(replicas) < 0.7)
    shares[rng.integers(replicas)] += 4
    batch = int(shares.sum())
    return {
        "dims": dims,
        "seed": dims,
        "shares": tuple(map(int, shares)),
        "samples": 2 * batch + batch // 2 + 2,
    }


def random_cases(replicas: int) -> list[dict]:
    """Return one of every number of dimensions."""
    rng = np.random.default_rng(replicas)
    return [random_case(rng, replicas, dims) for dims in (0, 1, 2, 3)]


@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_equals_one_process_for_any_shares(team, replicas):
    cases = random_cases(replicas)
    check(cases, team(*[1] * replicas).run(workers.train, cases))


def test_options_empty_shares_and_channels_last(pool):
    # all but one without a sample; a last step of 7
    base = {"seed": 3, "samples": 25, "shares": (0, 0, 9)}
    cases = [
        *random_cases(3),
        {**base, "dims": 2},
        # a last step of 2 samples: 2, 0 and 0 or so
        {**base, "dims": 0, "shares": (8, 0, 1), "samples": 20},
        {**base, "dims": 1, "options": {"momentum": None}},
        {
            **base,
            "dims": 2,
            "options": {"affine": False},
            "shares": (1, 8, 1),
        },
        {**base, "dims": 2, "last": True, "shares": (5, 0, 2)},
        {**base, "dims": 3, "last": True, "shares": (2, 1, 3)},
        {**base, "dims": 2, "own_group": True, "shares": (6, 0, 1)},
    ]
    check(cases, pool.run(workers.train, cases))


def run_one(pool, case) -> list[dict]:
    """Return what each rank found in one case."""
    return [found for (found,) in pool.run(workers.train, [case])]


def test_without_running_statistics(pool):
    options = {"track_running_stats": False}
    case = {
        "dims": 2,
        "seed": 5,
        "samples": 20,
        "shares": (6, 0, 3),
        "options": options,
    }
    ranks = run_one(pool, case)
    assert ranks[0]["buffers"] == []
    expected = workers.reference(case)
    assert largest_error(ranks[0]["parameters"], expected["parameters"]) < 1e-10
    # by the batch's own, as torch
    assert relative_error(ranks[1]["evaluation"][0], expected["evaluation"][0]) < 1e-10


THREE = {"dims": 2, "seed": 1, "samples": 40, "shares": (14, 5, 1)}


def test_float32_is_as_close_as_one_process(pool):
    case = THREE | {"dtype": "float32"}
    found = worst(case, run_one(pool, case))
    assert max(found.values()) < 2e-5, found


def test_local_statistics_differ_visibly(pool):
    balanced = run_one(pool, THREE)
    local = run_one(pool, THREE | {"convert": False})
    expected = workers.reference(THREE)["parameters"][0]
    assert relative_error(balanced[0]["parameters"][0], expected) < 1e-10
    assert relative_error(local[0]["parameters"][0], expected) > 0.1


@pytest.mark.parametrize("own_group", [True, False])
@pytest.mark.parametrize("shares", [(5, 0, 2), (0, 9, 0)])
def test_all_ranks_start_their_collectives_in_one_order(pool, shares, own_group):
    """Buckets from one parameter to all of them.

    The layers wait in their backward pass, DDP's buckets do not.
    """
    sizes = [1e-5, 3e-4, 1e-3, 25.0]
    by_rank = pool.run(workers.order_of_collectives, shares, own_group, sizes)
    for logs in zip(*by_rank, strict=True):
        assert all(log == logs[0] for log in logs), logs
        of_layers = sum(entry.startswith("norm") for entry in logs[0])
        # steps; 4 forward, 3 backward: images need no gradient
        assert of_layers == 3 * 8
    first = pool.run(workers.order_of_collectives, shares, own_group, sizes[:1])[0][0]
    kinds = [entry.split()[0] for entry in first]
    assert kinds.count("bucket") > 20
    # they do alternate
    assert ("bucket", "norm") in itertools.pairwise(kinds)


def test_plain_layer_in_evaluation_and_alone_and_copies(pool):
    for found in pool.run(workers.plain_where_it_has_to_be):
        assert found == {"alone": True, "evaluation": True, "copy": True}


def test_a_copy_goes_over_the_same_replicas(pool):
    """As an average of the weights does that goes on in training; other replicas stay away."""
    means = pool.run(workers.copy_in_a_group)
    assert means[0] == pytest.approx(means[1])
    assert means[0] == pytest.approx([0.1 * (3 * 0 + 1 * 8) / 4])
    assert means[2] == pytest.approx([0.0])


def test_a_group_that_a_file_cannot_hold_has_to_be_named_again(pool):
    """In its place the default one would take statistics over other replicas, or hang."""
    for messages in pool.run(workers.read_without_its_group):
        own, anew, *others = messages
        assert "name it again, hetlib.convert_batchnorm(model, process_group)" in own
        assert anew == ""
        assert [own, anew] == others[:2]
        # the default group is that of any job
        assert set(others[2:]) == {""}


def test_plan_times_a_converted_model_on_each_rank_alone(pool):
    plans = pool.run(workers.plan_of_a_converted_model)
    assert plans[0] == plans[1] == plans[2]
    assert sum(plans[0]) == 32


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_without_a_job_it_is_the_plain_layer(dims):
    plain = PLAIN[dims](4)
    layer = hetlib.convert_batchnorm(copy.deepcopy(plain))
    assert type(layer) is BALANCED[dims]
    assert isinstance(layer, PLAIN[dims])
    x = torch.randn(5, 4, *[3] * (dims if dims > 1 else 0))
    assert torch.equal(layer(x), plain(x))
    ours = layer.state_dict()
    theirs = plain.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    read = pickle.loads(pickle.dumps(layer))
    assert type(read) is BALANCED[dims]
    assert torch.equal(read.running_mean, plain.running_mean)
    plain.load_state_dict(layer.state_dict())
    with pytest.raises(ValueError, match=r"expected \dD"):
        layer(torch.randn(2, 4, 1, 1, 1, 1))


def test_conversion_keeps_the_parameters_and_names_what_it_cannot_convert():
    norms = nn.Sequential(nn.BatchNorm2d(4), nn.GroupNorm(2, 4))
    model = nn.Sequential(nn.Conv2d(3, 4, 3), norms)
    parameters = list(model.parameters())
    norms[0].register_forward_hook(lambda *_: None)
    assert hetlib.convert_batchnorm(model) is model
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert [type(module).__name__ for module in norms] == [
        "BalancedBatchNorm2d",
        "GroupNorm",
    ]
    assert len(norms[0]._forward_hooks) == 1
    own = type("BatchNormAct2d", (nn.BatchNorm2d,), {})
    with pytest.raises(
        TypeError,
        match=r"'1' is a BatchNormAct2d; use torch's own BatchNorm1d",
    ):
        hetlib.convert_batchnorm(nn.Sequential(nn.BatchNorm2d(2), own(4)))
    mixed = nn.Sequential(nn.BatchNorm2d(2), nn.LazyBatchNorm2d())
    with pytest.raises(TypeError, match=r"'1' is a LazyBatchNorm2d.*run a batch through"):
        hetlib.convert_batchnorm(mixed)
    assert type(mixed[0]) is nn.BatchNorm2d  # all or none
    assert not isinstance(hetlib.convert_batchnorm(nn.InstanceNorm2d(3)), BalancedBatchNorm)
