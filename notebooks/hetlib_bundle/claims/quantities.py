"""What a claim is about: from the runs of one seed to one value."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypedDict

import numpy as np

from hetlib.training.records import RunRecord


class Timed(TypedDict):
    """Times of a measured run, without its first epoch."""

    # Median, in seconds.
    step: float

    # Mean, in seconds.
    epoch: float

    # Part of the time that the fastest replica waits.
    idle: float


def timed(record: RunRecord) -> Timed:
    """Return a measured run's median step, mean epoch, and part of it that the fastest one waits.

    The first epoch is a warm-up and left out; with several fastest replicas the first of them
    counts.

    Args:
        record: Of a run with times.

    Raises:
        ValueError: It has a single epoch.
    """
    epochs = record.epochs[-1]["epoch"]
    warm_up = _warm_up(record)
    seconds = record.step_seconds[warm_up:]
    fastest = int(np.argmin(_slowdowns(record)))
    waited = np.asarray(record.steps["wait"])[warm_up:, fastest]
    return {
        "step": float(np.median(seconds)),
        "epoch": float(seconds.sum()) / (epochs - 1),
        "idle": float(waited.sum() / seconds.sum()),
    }


def _warm_up(record: RunRecord) -> int:
    """Return how many steps the first epoch has."""
    epochs: int = record.epochs[-1]["epoch"]
    if epochs < 2:
        raise ValueError(
            f"run {record.fingerprint} has {epochs} epoch; "
            "a timed run needs 2, the first is a warm-up."
        )
    return len(record.step_seconds) // epochs


def measured_ideal(equal: RunRecord, uneven: RunRecord) -> float:
    """Return the speedup over equal shares if every sample took as little as it was seen to take.

    Of each replica counts the best rate, in samples a second, at which it computed in one of the
    two runs. At these rates the replicas together would do a batch in B / sum(rates); equal shares
    took what their slowest replica computed in. No nominal slow-down enters: an emulated replica is
    not quite as slow as it was told to be.

    Args:
        equal: A timed run with equal shares.
        uneven: A timed run of the same replicas with shares by speed.

    Raises:
        ValueError: A run has a single epoch.
    """
    of_equal = _computed(equal)
    rates = np.maximum(
        np.asarray(equal.shares) / of_equal,
        np.asarray(uneven.shares) / _computed(uneven),
    )
    best = sum(equal.shares) / rates.sum()
    return float(of_equal.max() / best)


def _computed(record: RunRecord) -> np.ndarray:
    """Return the median seconds that each replica computes in a step, its update included."""
    seconds = np.asarray(record.steps["compute"]) + np.asarray(record.steps["update"])
    medians: np.ndarray = np.median(seconds[_warm_up(record) :], axis=0)
    return medians


def _slowdowns(record: RunRecord) -> list[float]:
    return [replica["slowdown"] for replica in record.platform]


def _accuracy_difference(first: RunRecord, second: RunRecord) -> float:
    """Return the first run's overall accuracy less the second's, in points."""
    return 100 * (first.scores["oa"] - second.scores["oa"])


def _idle(run: RunRecord) -> float:
    """Return the part of the time that the fastest replica waits."""
    return timed(run)["idle"]


def _speedup(fast: RunRecord, slow: RunRecord) -> float:
    """Return how many times the step of the first is faster."""
    return timed(slow)["step"] / timed(fast)["step"]


def _part_of_ideal(fast: RunRecord, slow: RunRecord) -> float:
    """Return the speedup as a part of the ideal one, by the rates seen in the two runs."""
    return timed(slow)["step"] / timed(fast)["step"] / measured_ideal(slow, fast)


def _excess_time(first: RunRecord, second: RunRecord) -> float:
    """Return by which part of the second's step the first's is longer."""
    return timed(first)["step"] / timed(second)["step"] - 1


class Quantity(NamedTuple):
    """How the runs of one seed become one value."""

    # Of the runs, in the order of the claim's strategies.
    compute: Callable[..., float]

    # Strategies that it takes.
    strategies: int


QUANTITIES: Mapping[str, Quantity] = {
    "OA difference": Quantity(_accuracy_difference, 2),
    "idle": Quantity(_idle, 1),
    "speedup": Quantity(_speedup, 2),
    "part of ideal speedup": Quantity(_part_of_ideal, 2),
    "excess time": Quantity(_excess_time, 2),
}
