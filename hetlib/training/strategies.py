"""The strategies: how the global batch is shared, and how the replicas' gradients are combined.

A strategy is one row of `STRATEGIES`, and what is special about it stands in that row: a function
for the shares, the name of a weighting, and a function for the batch that its learning rate
follows. One more strategy is one more row, and at most two more functions here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from hetlib.balanced.schedule import Shares
from hetlib.balanced.shares import deal
from hetlib.balanced.weights import LR_RULES, effective_batch, replica_weights

Speeds: TypeAlias = Sequence[float]  # of each replica, in any unit
Planned: TypeAlias = Sequence[int] | None  # shares of a plan, if there is one

# From the global batch, the speeds and the planned shares to the shares.
SharesRule: TypeAlias = Callable[[int, Speeds, Planned], Shares]

# From the shares and the global batch to the batch that the learning rate is for.
BatchRule: TypeAlias = Callable[[Sequence[int], int], float]


def all_to(rank: int, global_batch: int, replicas: int) -> Shares:
    """Give one replica the whole batch.

    Args:
        rank: Number of that replica.
        global_batch: Samples a step.
        replicas: Number of replicas.

    Returns:
        Local batch of each replica.
    """
    weights = [0] * replicas
    weights[rank] = 1
    return deal(global_batch, weights)


def whole(global_batch: int, speeds: Speeds, planned: Planned) -> Shares:
    """Give the first replica the whole batch; see `SharesRule`."""
    return all_to(0, global_batch, len(speeds))


def equal(global_batch: int, speeds: Speeds, planned: Planned) -> Shares:
    """Give each replica as much; see `SharesRule`."""
    return deal(global_batch, [1] * len(speeds))


def by_speed(global_batch: int, speeds: Speeds, planned: Planned) -> Shares:
    """Take the planned shares; see `SharesRule`.

    Raises:
        ValueError: They are not one for each replica.
    """
    shares = tuple(planned or ())
    if len(shares) != len(speeds):
        raise ValueError(
            f"`shares` is {shares}, but the platform has {len(speeds)} replicas; "
            "give one share for each."
        )
    return shares


def fastest(global_batch: int, speeds: Speeds, planned: Planned) -> Shares:
    """Give the fastest replica the whole batch; see `SharesRule`."""
    best = max(range(len(speeds)), key=lambda rank: speeds[rank])
    return all_to(best, global_batch, len(speeds))


def whole_batch(shares: Sequence[int], global_batch: int) -> float:
    """Keep the learning rate, which is given for the global batch; see `BatchRule`."""
    return global_batch


def plain_mean_batch(shares: Sequence[int], global_batch: int) -> float:
    """Follow the batch whose gradient is as noisy as the plain mean's; see `BatchRule`."""
    return effective_batch(shares)


@dataclass(frozen=True)
class Strategy:
    """How the global batch is shared and how the replicas' gradients are combined.

    Attributes:
        shares: Name of the rule for the shares: "whole", "equal", "speed" or "fastest".
        share_out: That rule.
        weighting: How the gradients are weighted; see `hetlib.balanced.weights.WEIGHTINGS`.
        rate_batch: The batch that the learning rate follows.
    """

    shares: str
    share_out: SharesRule
    weighting: str
    rate_batch: BatchRule = whole_batch

    @property
    def planned(self) -> bool:
        """Whether the shares go by speed, and so by a plan."""
        return self.shares == "speed"

    @property
    def weighs_speeds(self) -> bool:
        """Whether the weights, and so a run's result, depend on the speeds."""
        return self.weighting == "speed"

    def weights(self, counts: Sequence[int], speeds: Speeds) -> np.ndarray:
        """Return the weight of each replica's mean gradient.

        Args:
            counts: Samples that each replica processed.
            speeds: Of the replicas, in any unit.

        Returns:
            The weights w_r, float64 ``(P,)``.
        """
        return replica_weights(counts, self.weighting, speeds)


STRATEGIES: Mapping[str, Strategy] = {
    # one process, the whole batch: the reference
    "single": Strategy("whole", whole, "samples"),
    # equal shares, plain mean: what DDP does
    "equal": Strategy("equal", equal, "mean"),
    # shares by speed, plain mean
    "uneven-plain": Strategy("speed", by_speed, "mean"),
    # the same, learning rate for its effective batch
    "uneven-plain-retuned": Strategy("speed", by_speed, "mean", plain_mean_batch),
    # shares by speed, weighted by speed
    "speed-weighted": Strategy("speed", by_speed, "speed"),
    # shares by speed, weighted by samples: the letter's
    "balanced": Strategy("speed", by_speed, "samples"),
    # the best device alone
    "fastest-only": Strategy("fastest", fastest, "samples"),
}


def shares_for(strategy: str, global_batch: int, speeds: Speeds, planned: Planned) -> Shares:
    """Return the local batch of each replica.

    Args:
        strategy: Name in `STRATEGIES`.
        global_batch: Samples a step over all replicas.
        speeds: Of each replica, in any unit.
        planned: Shares for the strategies by speed.

    Returns:
        Samples a step of each replica, ``(P,)``.

    Raises:
        ValueError: The strategy goes by speed, and ``planned`` is not one share for each replica.

    >>> shares_for("equal", 64, speeds=(1.0, 4.0, 2.0), planned=None)
    (22, 21, 21)
    """
    return STRATEGIES[strategy].share_out(global_batch, speeds, planned)


def samples_worth(strategy: str, shares: Sequence[int], speeds: Speeds = ()) -> float:
    """Return how many samples a strategy's gradient is worth (n_eff), by formula.

    Args:
        strategy: Name in `STRATEGIES`.
        shares: Local batch of each replica; those without samples count for nothing.
        speeds: Of each replica, in any unit, for a strategy that weighs by them.

    Returns:
        The effective batch, see `hetlib.effective_batch`.

    Raises:
        ValueError: The strategy weighs by speed, and there is not one for each replica.

    >>> round(samples_worth("uneven-plain", (224, 32)))
    112
    """
    chosen = STRATEGIES[strategy]
    if chosen.weighting == "samples":
        return float(sum(shares))  # to the last bit
    return effective_batch(shares, chosen.weights(shares, speeds))


def learning_rate(
    *, strategy: str, optimizer: str, lr: float, global_batch: int, shares: Sequence[int]
) -> float:
    r"""Return the peak learning rate.

    A retuned strategy's follows its effective batch: :math:`\eta \, B_\mathrm{eff} / B` for SGD,
    :math:`\eta \sqrt{B_\mathrm{eff} / B}` for others (sources: `hetlib.balanced.weights.LR_RULES`).

    Args:
        strategy: Name in `STRATEGIES`.
        optimizer: Name in ``torch.optim``.
        lr: Learning rate for the whole global batch, :math:`\eta`.
        global_batch: Samples a step over all replicas, B.
        shares: Local batches of the replicas that take part.

    Returns:
        The learning rate.
    """
    ratio = STRATEGIES[strategy].rate_batch(shares, global_batch) / global_batch
    if optimizer == "SGD":
        return lr * LR_RULES["linear"](ratio)
    return lr * LR_RULES["sqrt"](ratio)
