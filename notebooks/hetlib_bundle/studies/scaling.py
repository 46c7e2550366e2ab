"""Modelled platforms of many replicas, half of them fast and half slow; nothing here is measured."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from hetlib.planning.partition import partition
from hetlib.planning.simulate import simulate
from hetlib.planning.speed import SpeedModel

Ring = Callable[[int], float]


def mixed(model: SpeedModel, replicas: int, ratio: float) -> list[SpeedModel]:
    """Return step models of the fast half (rounded up), then of the slow half, which takes ``ratio`` times as long."""
    return [model] * (replicas - replicas // 2) + [model.slowed(ratio)] * (replicas // 2)


def balanced_shares(models: list[SpeedModel], batch: float) -> np.ndarray:
    r"""Return the shares that level affine step models, as real numbers ``(replicas,)``.

    With :math:`t_r = a_r + n / s_r` all that take part end at :math:`\tau = (B + \sum s_r a_r) /
    \sum s_r`, with :math:`n_r = s_r (\tau - a_r)`; a replica with :math:`a_r \ge \tau` stays out
    (Lastovetsky and Reddy, 2007).
    """
    ends = np.array([[m.time(1), m.time(2)] for m in models])
    speed = 1 / (ends[:, 1] - ends[:, 0])
    fixed = ends[:, 0] - 1 / speed
    active = np.ones(len(models), dtype=bool)
    while True:
        level = (batch + (speed * fixed)[active].sum()) / speed[active].sum()
        late = active & (fixed >= level)
        if not late.any():
            return np.where(active, speed * (level - fixed), 0.0)
        active &= ~late


def scaling(
    model: SpeedModel,
    replicas: int,
    ratio: float,
    local_batch: int,
    ring: Ring,
    *,
    steps: int = 100,
    seed: int = 0,
    overlap: float = 0.0,
    straggler: float = 0.0,
) -> pd.DataFrame:
    """Return one row a strategy: modelled speedup over one fast replica with the same global batch, and efficiency.

    The global batch grows with the replicas, ``local_batch`` each on average. ``balanced`` takes
    the better of all replicas and the fast half alone: leaving devices out is a plan too. The ideal
    is the sum of speeds.
    """
    models, batch = mixed(model, replicas, ratio), local_batch * replicas
    fast = models[: replicas - replicas // 2]

    def seconds(some: list[SpeedModel], shares: np.ndarray) -> float:
        options: dict[str, Any] = {
            "communication": ring,
            "overlap": overlap,
            "straggler": straggler,
            "seed": seed,
        }
        return float(simulate(some, shares.tolist(), steps, **options).mean())

    alone = seconds([model], np.array([batch]))
    best = min(seconds(some, balanced_shares(some, batch)) for some in (models, fast))
    taken = {
        "fastest-only": alone,
        "equal": seconds(models, np.full(replicas, local_batch)),
        "balanced": best,
    }
    ideal = len(fast) + (replicas - len(fast)) / ratio
    rows = [
        {"strategy": k, "speedup": alone / t, "efficiency": alone / t / ideal}
        for k, t in taken.items()
    ]
    about = {
        "replicas": replicas,
        "ratio": ratio,
        "communication": ring(replicas) / model.time(local_batch),
    }
    return pd.DataFrame([about | {"ideal": ideal} | row for row in rows])


def adding_pays(model: SpeedModel, ratio: float, batch: int, ring: Ring) -> float:
    """Return the modelled speedup of a device by a ``ratio`` times slower one beside it, balanced; above 1 it pays.

    The second device gets at least one sample here, so that values below 1 show what it costs.
    """
    pair = [model, model.slowed(ratio)]
    shares = np.array(partition(pair, batch).shares)
    shares = shares if shares.min() else np.array([batch - 1, 1])
    return model.time(batch) / float(simulate(pair, shares.tolist(), 1, communication=ring)[0])
