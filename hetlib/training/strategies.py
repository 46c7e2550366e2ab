"""The strategies: how the global batch is shared, and how the replicas' gradients are combined."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hetlib.balanced.sampler import deal
from hetlib.balanced.weights import LR_RULES, effective_batch

if TYPE_CHECKING:
    from hetlib.training.experiment import Experiment


class Strategy(NamedTuple):
    """How the global batch is shared and how the replicas' gradients are combined."""

    shares: str  # "whole", "equal", "speed" or "fastest"
    weighting: str  # see `hetlib.balanced.weights.WEIGHTINGS`
    retuned: bool  # whether the learning rate follows the effective batch


STRATEGIES: Mapping[str, Strategy] = {
    "single": Strategy("whole", "samples", False),  # one process, the whole batch: the reference
    "equal": Strategy("equal", "mean", False),  # equal shares, plain mean: what DDP does
    "uneven-plain": Strategy("speed", "mean", False),  # shares by speed, plain mean
    # the same, learning rate for its effective batch
    "uneven-plain-retuned": Strategy("speed", "mean", True),
    "speed-weighted": Strategy("speed", "speed", False),  # shares by speed, weighted by speed
    # shares by speed, weighted by samples: the letter's
    "balanced": Strategy("speed", "samples", False),
    "fastest-only": Strategy("fastest", "samples", False),  # the best device alone
}


def shares_for(
    experiment: "Experiment", speeds: Sequence[float], planned: Sequence[int] | None
) -> tuple[int, ...]:
    """Return the local batch of each replica; those by speed are ``experiment.shares``, else the ``planned`` ones."""
    ranks, kind = range(len(speeds)), STRATEGIES[experiment.strategy].shares
    working = {
        "equal": ranks,
        "whole": (0,),
        "fastest": (max(ranks, key=lambda rank: speeds[rank]),),
    }
    if kind in working:
        return deal(experiment.global_batch, [int(rank in working[kind]) for rank in ranks])
    shares = tuple(experiment.shares or planned or ())
    if len(shares) != len(ranks):
        raise ValueError(
            f"`shares` is {shares}, but the platform has {len(ranks)} replicas; give one share for each."
        )
    return shares


def learning_rate(experiment: "Experiment", shares: Sequence[int]) -> float:
    """Return the peak learning rate; a retuned strategy's follows B_eff: for SGD linearly, else by its square root."""
    ratio = (
        effective_batch(shares) / experiment.global_batch
        if STRATEGIES[experiment.strategy].retuned
        else 1.0
    )
    return experiment.lr * LR_RULES["linear" if experiment.optimizer == "SGD" else "sqrt"](ratio)
