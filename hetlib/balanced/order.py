"""The order of the samples in an epoch, the same on every replica."""

from collections.abc import Sequence

import numpy as np


def shuffled(samples: int, seed: int, epoch: int) -> np.ndarray:
    """Return an order of the samples' numbers, a pure function of the arguments.

    Args:
        samples: How many there are.
        seed: The same on all replicas.
        epoch: Its number, from 0.

    Returns:
        The numbers, ``(samples,)``.
    """
    rng = np.random.default_rng((seed, epoch))
    return rng.permutation(samples)


def put_owned(order: np.ndarray, owned: np.ndarray, by_step: Sequence[tuple[int, ...]]) -> None:
    """Change an epoch's order so that each replica draws what it owns, in place.

    Each replica's places in the epoch, in this order, get what it owns.

    Args:
        order: The samples' numbers, ``(samples,)``.
        owned: The same numbers, first those that rank 0 owns.
        by_step: Samples of each replica in each step.
    """
    replicas = len(by_step[0])
    counts = np.concatenate(by_step)
    # the replica that takes each place of the epoch
    taker = np.repeat(np.arange(len(counts)) % replicas, counts)
    # the places that replica 0 takes, then those of replica 1, ..., each in the epoch's order
    places = order[np.argsort(taker[order], kind="stable")]
    order[places] = owned
