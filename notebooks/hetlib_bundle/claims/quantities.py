"""What a claim is about: from the runs of one seed to one value."""

from collections.abc import Callable, Mapping, Sequence
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
    if epochs < 2:
        raise ValueError(
            f"run {record.fingerprint} has {epochs} epoch; "
            "a timed run needs 2, the first is a warm-up."
        )
    warm_up = len(record.step_seconds) // epochs
    seconds = record.step_seconds[warm_up:]
    fastest = int(np.argmin(_slowdowns(record)))
    waited = np.asarray(record.steps["wait"])[warm_up:, fastest]
    return {
        "step": float(np.median(seconds)),
        "epoch": float(seconds.sum()) / (epochs - 1),
        "idle": float(waited.sum() / seconds.sum()),
    }


def ideal_speedup(slowdowns: Sequence[float]) -> float:
    """Return the speedup over equal shares if a step took n_r slow-down_r and nothing else.

    Equal shares take max(f) B / P, shares by speed B / sum(1 / f); their ratio is
    max(f) mean(1 / f).

    Args:
        slowdowns: f, of each replica.
    """
    return max(slowdowns) * sum(1 / f for f in slowdowns) / len(slowdowns)


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
    """Return the speedup as a part of the ideal one."""
    return timed(slow)["step"] / timed(fast)["step"] / ideal_speedup(_slowdowns(fast))


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
