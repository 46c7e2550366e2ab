"""Modelled platforms of many replicas, half of them fast, half slow; nothing here is measured."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from hetlib.planning.partition import partition
from hetlib.planning.simulate import simulate
from hetlib.planning.speed import SpeedModel

Ring = Callable[[int], float]  # seconds that the communication of so many replicas adds


class Halves(NamedTuple):
    """The replicas of a mixed platform.

    Attributes:
        fast: Step models of the fast half, rounded up.
        slow: Step models of the slow half.
    """

    fast: list[SpeedModel]
    slow: list[SpeedModel]


def halves(model: SpeedModel, replicas: int, ratio: float) -> Halves:
    """Return the step models of a platform.

    Args:
        model: Of a fast replica.
        replicas: In both halves; the fast one is rounded up.
        ratio: How many times longer the slow half takes.
    """
    count = replicas // 2
    slow = [model.slowed(ratio)] * count
    fast = [model] * (replicas - count)
    return Halves(fast, slow)


def mixed(model: SpeedModel, replicas: int, ratio: float) -> list[SpeedModel]:
    """Return the step models of both `halves` in one list, the fast ones first."""
    fast, slow = halves(model, replicas, ratio)
    return fast + slow


def fixed_cost(seconds: float) -> Ring:
    """Return a communication that takes the same for any number of replicas; one alone has none."""
    return lambda replicas: seconds * (replicas > 1)


def balanced_shares(models: list[SpeedModel], batch: float) -> np.ndarray:
    r"""Return the shares that level affine step models, as real numbers ``(replicas,)``.

    With :math:`t_r = a_r + n / s_r` all that take part end at :math:`\tau = (B + \sum s_r a_r) /
    \sum s_r`, with :math:`n_r = s_r (\tau - a_r)`; a replica with :math:`a_r \ge \tau` stays out
    (Lastovetsky and Reddy, 2007).

    Args:
        models: Step models, affine.
        batch: Samples of a step over all replicas.
    """
    one = np.array([model.time(1) for model in models])
    two = np.array([model.time(2) for model in models])
    speed = 1 / (two - one)
    fixed = one - 1 / speed
    owed = speed * fixed  # samples that the fixed part would have taken
    active = np.ones(len(models), dtype=bool)
    while True:
        level = (batch + owed[active].sum()) / speed[active].sum()
        late = active & (fixed >= level)
        if not late.any():
            return np.where(active, speed * (level - fixed), 0.0)
        active &= ~late


def scaling(
    model: SpeedModel,
    replicas: int,
    ratio: float,
    *,
    local_batch: int,
    ring: Ring,
    steps: int = 100,
    seed: int = 0,
    overlap: float = 0.0,
    straggler: float = 0.0,
) -> pd.DataFrame:
    """Model the speedup of a mixed platform over one fast replica with the same global batch.

    The global batch grows with the replicas. ``balanced`` takes the better of all replicas and the
    fast half alone: leaving devices out is a plan too.

    Args:
        model: Step model of a fast replica.
        replicas: How many there are, half of them slow.
        ratio: How many times longer the slow half takes.
        local_batch: Samples of a step and replica, on average.
        ring: What communication adds.
        steps: Simulated steps of each strategy.
        seed: Draws the delays.
        overlap: Fraction of the compute phase beside which communication runs.
        straggler: Mean random delay over the compute time.

    Returns:
        One row a strategy: ``replicas``, ``ratio``, ``communication`` (over the fast replica's
        compute time), ``ideal`` (the sum of speeds), ``strategy``, ``speedup`` and ``efficiency``
        (the speedup over the ideal).
    """
    fast, slow = halves(model, replicas, ratio)
    everybody = fast + slow
    batch = local_batch * replicas

    def seconds(models: list[SpeedModel], shares: np.ndarray) -> float:
        taken = simulate(
            models,
            shares.tolist(),
            steps,
            communication=ring,
            overlap=overlap,
            straggler=straggler,
            seed=seed,
        )
        return float(taken.mean())

    alone = seconds([model], np.array([batch]))
    equal = seconds(everybody, np.full(replicas, local_batch))
    both = seconds(everybody, balanced_shares(everybody, batch))
    half = seconds(fast, balanced_shares(fast, batch))
    about = {
        "replicas": replicas,
        "ratio": ratio,
        "communication": ring(replicas) / model.time(local_batch),
        "ideal": len(fast) + len(slow) / ratio,
    }
    taken = {
        "fastest-only": alone,
        "equal": equal,
        "balanced": min(both, half),
    }
    return _speedups(about, taken)


def _speedups(
    about: Mapping[str, float],
    seconds: Mapping[str, float],
) -> pd.DataFrame:
    """Return one row a strategy: what the platform is, and the speedup over the fastest one."""
    alone = seconds["fastest-only"]
    ideal = about["ideal"]
    rows = []
    for name, taken in seconds.items():
        row = {
            **about,
            "strategy": name,
            "speedup": alone / taken,
            "efficiency": alone / taken / ideal,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def adding_pays(
    model: SpeedModel,
    ratio: float,
    batch: int,
    ring: Ring,
) -> float:
    """Return the modelled speedup of a device by a slower one beside it, balanced; above 1 it pays.

    The second device gets at least one sample here, so that values below 1 show what it costs.

    Args:
        model: Step model of the fast device.
        ratio: How many times longer the other one takes.
        batch: Samples of a step over both.
        ring: What communication adds.
    """
    pair = [model, model.slowed(ratio)]
    shares = partition(pair, batch).shares
    if not min(shares):
        shares = (batch - 1, 1)
    taken = simulate(pair, shares, 1, communication=ring)
    return model.time(batch) / float(taken[0])


def pays_table(
    ratios: Sequence[float],
    bandwidths: np.ndarray,
    gain: np.ndarray,
    shown: Sequence[float] = (2, 4, 10, 30, 100),
) -> pd.DataFrame:
    """Return from which bandwidth on a slow device pays, one row a ratio of speeds.

    Args:
        ratios: Of speeds, (ratios,).
        bandwidths: In Gb/s, rising, (bandwidths,).
        gain: `adding_pays` of each, (bandwidths, ratios).
        shown: Ratios to tell of; the nearest ones there are.
    """
    rows = []
    for ratio in shown:
        off = np.abs(np.log(np.asarray(ratios) / ratio))
        column = gain[:, off.argmin()]
        least = np.inf
        if (column > 1).any():
            least = bandwidths[np.argmax(column > 1)]
        row = {
            "ratio of speeds": ratio,
            "least bandwidth that pays (Gb/s)": least,
            "most gained": column.max(),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def ideal_fraction(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the balanced rows of `scaling` with a column ``fraction``.

    It is the part of the ideal speedup over equal shares that the balanced ones reach: with equal
    shares every replica is as slow as the slow half.
    """
    by_strategy = rows.groupby("strategy")
    equal = by_strategy.get_group("equal").reset_index(drop=True)
    balanced = by_strategy.get_group("balanced").reset_index(drop=True)
    most = balanced.ideal * balanced.ratio / balanced.replicas
    return balanced.assign(fraction=balanced.speedup / equal.speedup / most)
