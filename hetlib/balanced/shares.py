"""Shares of a global batch: how samples are dealt by them, and what must be true of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from hetlib.balanced.dealing import Position


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

    >>> deal(8, (90, 26, 9, 3))
    (5, 1, 1, 1)
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


def require_fitting(state: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` for a state of another training than ``own`` describes."""
    missing = sorted({*own, "shares", "plans", "epoch", "step"} - set(state))
    if missing:
        raise ValueError(
            f"the state lacks {missing}; give the position that `state_dict` of a BalancedSampler "
            "or BalancedLoader returned."
        )
    for name, value in own.items():
        if state[name] != value:
            raise ValueError(
                f"the state has `{name}` {state[name]!r}, but here it is {value!r}; "
                "a position fits the training alone that it comes from."
            )


def require_position(position: Position, steps: int) -> None:
    """Raise ``ValueError`` for a position that no epoch of so many steps has."""
    if position.epoch < 0 or not 0 <= position.step < steps:
        raise ValueError(
            f"the state's position is step {position.step} of epoch {position.epoch}; an epoch has "
            f"{steps} steps here."
        )


def shares_of(plan: HasShares | Sequence[int]) -> tuple[int, ...]:
    """Return the local batch of each replica, of a plan or as they are given."""
    shares: Any = getattr(plan, "shares", plan)
    return tuple(int(share) for share in shares)


def require_shares(shares: tuple[int, ...]) -> None:
    """Raise ``ValueError`` for shares that nothing can be dealt by."""
    if not shares or min(shares) < 0 or sum(shares) < 1:
        raise ValueError(f"`plan` has the shares {shares}; they must be >= 0 with a sum >= 1.")


def require_samples(num_samples: int, shares: tuple[int, ...], drop_last: bool) -> None:
    """Raise ``ValueError`` for fewer samples than a step takes."""
    least = sum(shares) if drop_last else 1
    if num_samples < least:
        raise ValueError(
            f"`num_samples` is {num_samples}; with `drop_last={drop_last}` it must be >= {least}."
        )


def require_rank(rank: int, shares: tuple[int, ...]) -> None:
    """Raise ``ValueError`` for a rank that the shares do not have."""
    replicas = len(shares)
    if not 0 <= rank < replicas:
        raise ValueError(
            f"`rank` is {rank}, but the plan has {replicas} replicas (ranks 0..{replicas - 1})."
        )


def require_no_shards(shards: object) -> None:
    """Raise ``ValueError`` for shards where queries are dealt."""
    if shards is not None:
        raise ValueError(
            "`shards` names samples by their numbers; queries of a sampler have none, so leave it "
            "out."
        )


def require_shards(shards: Sequence[int] | np.ndarray, num_samples: int) -> None:
    """Raise ``ValueError`` for shards that are no order of all samples."""
    if sorted(shards) != list(range(num_samples)):
        raise ValueError(
            f"`shards` has {len(shards)} numbers; it must be some order of 0 to {num_samples - 1}."
        )
