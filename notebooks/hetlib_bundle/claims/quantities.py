"""What a claim is about: from the runs of one seed to one value."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hetlib.training.records import RunRecord


def timed(record: RunRecord) -> dict[str, Any]:
    """Return a measured run's median step and mean epoch in seconds, and the part of it that the fastest one waits.

    The first epoch is a warm-up and left out; with several fastest replicas the first of them
    counts.
    """
    steps, epochs = len(record.step_seconds), record.epochs[-1]["epoch"]
    if epochs < 2:
        raise ValueError(
            f"run {record.fingerprint} has {epochs} epoch; a timed run needs 2, the first is a warm-up."
        )
    first = steps // epochs
    seconds = record.step_seconds[first:]
    fastest = int(np.argmin([replica["slowdown"] for replica in record.platform]))
    idle = float(np.asarray(record.steps["wait"])[first:, fastest].sum() / seconds.sum())
    return {
        "step": float(np.median(seconds)),
        "epoch": float(seconds.sum()) / (epochs - 1),
        "idle": idle,
    }


def ideal_speedup(slowdowns: Sequence[float]) -> float:
    """Return the speedup over equal shares if a step took n_r slow-down_r and nothing else: max(f) mean(1 / f)."""
    return max(slowdowns) * sum(1 / f for f in slowdowns) / len(slowdowns)


def _ideal(record: RunRecord) -> float:
    return ideal_speedup([replica["slowdown"] for replica in record.platform])


# From the runs of one seed, in the order of the claim's strategies, to one value; and how many
# strategies it takes.
QUANTITIES: Mapping[str, tuple[Callable[..., float], int]] = {
    "OA difference": (lambda a, b: 100 * (a.scores["oa"] - b.scores["oa"]), 2),
    "idle": (lambda a: timed(a)["idle"], 1),
    "speedup": (lambda a, b: timed(b)["step"] / timed(a)["step"], 2),
    "part of ideal speedup": (lambda a, b: timed(b)["step"] / timed(a)["step"] / _ideal(a), 2),
    "excess time": (lambda a, b: timed(a)["step"] / timed(b)["step"] - 1, 2),
}
