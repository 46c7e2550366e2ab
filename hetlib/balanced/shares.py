"""Shares of a global batch: how samples are dealt by them, and what must be true of them."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from hetlib.containers import NO_SEQUENCES, items
from hetlib.errors import shown, wrong
from hetlib.inputs import MOST_SAMPLES, optional, whole

# Samples of a data set: the order of an epoch is an array of them, here of 32 GB.
MOST_NUMBERS = 2**32


class HasShares(Protocol):
    """A plan, such as a `Partition`."""

    @property
    def shares(self) -> Sequence[int]:
        """Local batch of each replica."""


def deal(samples: int, shares: Sequence[int]) -> tuple[int, ...]:
    """Split samples by shares, by the largest remainder.

    Each share > 0 gets one sample at least, if there are enough.

    Args:
        samples: How many to split.
        shares: Numbers >= 0 with a sum >= 1, one a replica.

    Returns:
        The samples of each replica.

    Raises:
        ValueError: One of them is no whole number, or out of bounds.

    >>> deal(8, (90, 26, 9, 3))
    (5, 1, 1, 1)
    """
    checked = items("shares", shares, _share)
    if sum(checked) < 1:
        raise wrong("shares", shares, "numbers >= 0 with a sum >= 1")
    return split(whole("samples", samples, low=0, high=MOST_SAMPLES), checked)


def split(samples: int, shares: Sequence[int]) -> tuple[int, ...]:
    """Split samples by shares as `deal` does, in every step: the arguments were checked before.

    Args:
        samples: How many to split.
        shares: Numbers >= 0 with a sum >= 1, one a replica.

    Returns:
        The samples of each replica.
    """
    weights = np.asarray(shares, dtype=np.int64)
    least = np.zeros_like(weights)
    if samples >= np.count_nonzero(weights):
        least = (weights > 0).astype(np.int64)
    counts = np.maximum(weights * samples // weights.sum(), least)
    wanted = weights * samples / weights.sum()

    # rounding down leaves samples over, the least number of each takes too many
    missing = samples - counts.sum()
    while missing:
        sign = np.sign(missing)
        able = weights > 0 if sign > 0 else counts > least
        distance = np.where(able, sign * (wanted - counts), -np.inf)
        counts[np.argmax(distance)] += sign
        missing -= sign
    return tuple(counts.tolist())


def shares_of(plan: HasShares | Sequence[int]) -> tuple[int, ...]:
    """Return the local batch of each replica, of a plan or as they are given.

    Args:
        plan: A `Partition`, or the local batch of each replica.

    Raises:
        ValueError: Nothing can be dealt by them; the message names ``plan``.
    """
    given: Any = getattr(plan, "shares", plan)
    shares = items("plan", given, _share)
    if not 1 <= sum(shares) <= MOST_SAMPLES:
        raise ValueError(
            f"`plan` has the shares {shown(shares)}; they must be >= 0 with a sum >= 1 and "
            f"<= {MOST_SAMPLES}."
        )
    return shares


def slashed(shares: Iterable[int]) -> str:
    """Return shares as tables write them, such as 107/21.

    Args:
        shares: Samples of each replica.
    """
    return "/".join(str(samples) for samples in shares)


def gives_queries(num_samples: Iterable[Any]) -> bool:
    """Return whether a sampler of queries stands in place of the number of samples.

    Args:
        num_samples: What was given; text has no queries, and a set no order that all know.
    """
    is_number = getattr(num_samples, "shape", None) == ()
    return not is_number and not isinstance(num_samples, NO_SEQUENCES)


def samples_of(num_samples: object, shares: tuple[int, ...], drop_last: bool) -> int:
    """Return the number of samples, at least as many as a step takes.

    Args:
        num_samples: What was given.
        shares: Local batch of each replica.
        drop_last: Whether a short step is left out.

    Raises:
        ValueError: It is no whole number, or too small or large.
    """
    samples = whole("num_samples", num_samples, high=MOST_NUMBERS)
    least = sum(shares) if drop_last else 1
    if samples < least:
        raise ValueError(
            f"`num_samples` is {samples}; with `drop_last={drop_last}` it must be >= {least}."
        )
    return samples


def rank_of(rank: object, shares: tuple[int, ...]) -> int | None:
    """Return the number of a replica that the shares have; ``None`` where it is not given.

    Args:
        rank: What was given.
        shares: Local batch of each replica.

    Raises:
        ValueError: It is no whole number, or the shares have no such replica.
    """
    number = optional(whole, "rank", rank)
    replicas = len(shares)
    if number is not None and not 0 <= number < replicas:
        raise ValueError(
            f"`rank` is {number}, but the plan has {replicas} replicas (ranks 0..{replicas - 1})."
        )
    return number


def require_no_shards(shards: object) -> None:
    """Raise ``ValueError`` for shards where queries are dealt."""
    if shards is not None:
        raise ValueError(
            "`shards` names samples by their numbers; queries of a sampler have none, so leave it "
            "out."
        )


def shards_of(shards: object, num_samples: int) -> np.ndarray | None:
    """Return the order in which replicas own the samples; ``None`` where there is none.

    Args:
        shards: What was given.
        num_samples: Size of the data set.

    Raises:
        ValueError: It is no order of all samples.
    """
    if shards is None:
        return None
    order = _whole_numbers(shards)
    words = f"it must be some order of 0 to {num_samples - 1}."
    if order is None:
        raise ValueError(f"`shards` is {shown(shards)}; {words}")
    has_all = len(order) == num_samples and (np.sort(order) == np.arange(num_samples)).all()
    if not has_all:
        raise ValueError(f"`shards` has {len(order)} numbers; {words}")
    return order


def _whole_numbers(given: Any) -> np.ndarray | None:
    """Return an array of whole numbers, ``(n,)``, or ``None`` where they are none."""
    if isinstance(given, NO_SEQUENCES):
        return None
    try:
        array = np.asarray(given)
    except Exception:  # lists in lists of other lengths, a tensor elsewhere
        return None
    if array.ndim != 1 or array.dtype.kind not in "iu":
        return None
    return array.astype(np.int64)


def _share(name: str, value: object) -> int:
    return whole(name, value, low=0, high=MOST_SAMPLES)
