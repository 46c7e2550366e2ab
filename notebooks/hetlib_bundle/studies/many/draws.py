"""Which samples each step draws: from all, or each replica from its own part."""

import numpy as np

from hetlib.balanced.shares import deal
from hetlib_bundle.studies.many.conditions import Condition
from hetlib_bundle.studies.many.samples import Samples

# Streams of random numbers of one seed that have nothing to do with each other.
OWNERS = 1
ORDER = 2


def owners(condition: Condition, samples: Samples, seed: int) -> np.ndarray | None:
    """Return the replica that owns each training sample.

    Args:
        condition: With the shares, and how the samples are cut.
        samples: Of one split.
        seed: Draws what the cut leaves open: the order of the samples, of the classes, or the
            direction of the strips, and so which of them the slow replicas have.

    Returns:
        Ranks, (n,); None where every replica draws from all samples.

    Raises:
        ValueError: The samples have no places, and strips of the scene are asked for.
    """
    if condition.sampling == "iid":
        return None
    rng = np.random.default_rng([seed, OWNERS])
    count = len(samples.labels)
    mixed = rng.permutation(count)
    order = mixed
    if condition.sampling in ("class", "half"):
        order = _by_class(samples.labels, mixed, rng)
    if condition.sampling == "region":
        order = _by_place(samples, rng)
    if condition.sampling != "half":
        return _cut(order, condition.shares)
    owner = _cut(order, condition.shares)
    # drawn anew: in `mixed` the samples of a class lie as they were cut
    elsewhere = rng.permutation(count)[: count // 2]
    owner[elsewhere] = rng.permutation(owner[elsewhere])
    return owner


def _by_class(labels: np.ndarray, mixed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the samples class by class, the classes and the samples in a drawn order."""
    rank_of_class = rng.permutation(labels.max() + 1)
    ranks = rank_of_class[labels[mixed]]
    return mixed[np.argsort(ranks, kind="stable")]


def _by_place(samples: Samples, rng: np.random.Generator) -> np.ndarray:
    """Return the samples along a drawn direction of the scene."""
    if samples.places is None:
        raise ValueError("`sampling` is 'region', and these samples have no places; take another.")
    direction = rng.standard_normal(samples.places.shape[1])
    return np.argsort(samples.places @ direction, kind="stable")


def _cut(order: np.ndarray, shares: tuple[int, ...]) -> np.ndarray:
    """Return the owners where runs of an order, in proportion to the shares, go to the replicas."""
    sizes = deal(len(order), shares)
    owner = np.empty(len(order), dtype=np.int64)
    owner[order] = np.repeat(np.arange(len(shares)), sizes)
    return owner


def draw(condition: Condition, samples: Samples, steps: int, seed: int) -> np.ndarray:
    """Return the training samples of each step.

    Each replica, or the one process, goes through its samples in one random order after the other,
    and takes as many a step as its share: every step is full, every sample comes equally often.

    Args:
        condition: With the shares, and who owns what.
        samples: Of one split.
        steps: How many.
        seed: Draws the orders.

    Returns:
        Rows of the samples' inputs, (steps, n), replica by replica; where there are several views
        of a sample, one is drawn each time.
    """
    rng = np.random.default_rng([seed, ORDER])
    chosen = _choose(condition, samples, steps, rng, seed)
    view = rng.integers(samples.views, size=chosen.shape)
    return chosen + view * len(samples.labels)


def _choose(
    condition: Condition,
    samples: Samples,
    steps: int,
    rng: np.random.Generator,
    seed: int,
) -> np.ndarray:
    """Return the samples of each step, (steps, n)."""
    everything = np.arange(len(samples.labels))
    owner = owners(condition, samples, seed)
    if owner is None:
        members = _part(condition, everything, rng)
        return _stream(members, sum(condition.drawn), steps, rng)
    parts = []
    for rank, share in enumerate(condition.drawn):
        members = everything[owner == rank]
        parts.append(_stream(members, share, steps, rng))
    return np.concatenate(parts, axis=1)


def _part(condition: Condition, everything: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the samples that one process trains on."""
    if condition.kind != "subset":
        return everything
    ratio = condition.plain_n_eff / condition.global_batch
    size = max(1, round(ratio * len(everything)))
    return rng.permutation(everything)[:size]


def _stream(members: np.ndarray, share: int, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Return random orders of some samples, one after the other, cut into steps, (steps, share)."""
    needed = share * steps
    orders = [rng.permutation(members) for _ in range(-(-needed // len(members)))]
    return np.concatenate(orders)[:needed].reshape(steps, share)
