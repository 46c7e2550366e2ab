"""What a step of each rival costs on two replicas of a ratio of speeds, and so a target.

Times are modelled, by the step models that `01_platform` recorded: its fast replica, beside the
same one slowed down. One process, equal and balanced shares and *deadline accumulation* have one
gradient, that of all samples of the step, and so one curve of accuracy over steps: only their step
times differ.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from hetlib import SpeedModel, effective_batch, partition
from hetlib.balanced.shares import slashed
from hetlib_bundle.claims.verdict import interval
from hetlib_bundle.studies.many.local import AVERAGES
from hetlib_bundle.studies.many.measured import measured
from hetlib_bundle.studies.many.target import middle_length, needed, targets

GLOBAL_BATCH = 128

# Samples of a local step, and so twice as many of them as steps of the global batch.
LOCAL_BATCH = 64

# Samples that a replica adds at a time until the deadline.
ADDED = 16

# What the tables call the gradient of all samples of a step.
EXACT = "exact"

# And the control of local SGD: the fast device alone, with the batch of a local step.
HALF = f"fastest-only, batch {LOCAL_BATCH}"


class Fleet(NamedTuple):
    """Two replicas.

    Attributes:
        fast: Step model of the one.
        slow: Of the other.
        exchange: Seconds that an average of gradients or networks takes.
    """

    fast: SpeedModel
    slow: SpeedModel
    exchange: float

    @property
    def shares(self) -> tuple[int, ...]:
        """The fastest shares that keep both replicas."""
        return partition([self.fast, self.slow], GLOBAL_BATCH, active=(2, 2)).shares


def fleet(ratio: float) -> Fleet:
    """Return the recorded fast replica beside one that is slower.

    Args:
        ratio: Of their speeds.
    """
    recorded = measured()
    fast = recorded.models[0]
    return Fleet(fast, fast.slowed(ratio), recorded.exchange)


def deadline(of: Fleet) -> float:
    """Return the deadline by which both have added up a global batch, in parts of `ADDED` samples.

    Args:
        of: Two replicas.
    """
    parts = GLOBAL_BATCH // ADDED
    ends = []
    for model in (of.fast, of.slow):
        ends += [model.time(ADDED) * (done + 1) for done in range(parts)]
    return sorted(ends)[parts - 1]


def step_times(of: Fleet, ratio: float) -> dict[str, float]:
    """Return the modelled seconds of a step of the global batch, by strategy.

    A step of local SGD, and of its control, is that in which the fast replica goes through a
    global batch.

    Args:
        of: Two replicas.
        ratio: Of their speeds: so many local steps has a round.
    """
    fast, slow = of.shares
    both = max(of.fast.time(fast), of.slow.time(slow)) + of.exchange
    local = GLOBAL_BATCH // LOCAL_BATCH
    apart = local * (of.fast.time(LOCAL_BATCH) + of.exchange / ratio)
    return {
        "fastest-only": of.fast.time(GLOBAL_BATCH),
        HALF: local * of.fast.time(LOCAL_BATCH),
        "equal": of.slow.time(GLOBAL_BATCH / 2) + of.exchange,
        "balanced": both,
        "uneven-plain": both,
        "deadline accumulation": deadline(of) + of.exchange,
        **{local_name(average): apart for average in AVERAGES},
    }


def local_name(average: str) -> str:
    """Return what the tables call local SGD.

    Args:
        average: One of `.local.AVERAGES`.
    """
    return {"mean": "local SGD, plain average", "samples": "local SGD, by samples"}[average]


def rivals_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the modelled time to the target of each strategy beside that of the fast device alone.

    The target of a seed: `.target.targets`, in the middle of the lengths.

    Args:
        runs: From `.rivals.curves`.

    Returns:
        A row a ratio and strategy: ``shares``, ``n_eff/B`` (of its gradient; local SGD has none),
        ``step (ms)``, ``steps`` (as multiples of those of one process), ``time`` (as a multiple of
        that of the fast device alone) with ``low`` and ``high`` (95 %), all three geometric means
        over the seeds that reach the target; ``reached``, ``seeds``, and ``edge``.
    """
    exact = runs[runs.strategy == EXACT]
    goals = targets_of(runs)
    alone = needed(exact, goals)
    rows = []
    for ratio in sorted(set(runs.ratio) - {0.0}):
        of = fleet(ratio)
        times = step_times(of, ratio)
        for strategy, seconds in times.items():
            own = runs[(runs.strategy == strategy) & runs.ratio.isin((0.0, ratio))]
            steps = needed(own if len(own) else exact, goals) / alone
            shares = of.shares if strategy in ("balanced", "uneven-plain") else ()
            rows.append(
                {
                    "ratio": ratio,
                    "strategy": strategy,
                    "shares": slashed(shares),
                    "n_eff/B": _part_worth(strategy, of),
                    "step (ms)": 1e3 * seconds,
                    **_over_seeds(steps, seconds / times["fastest-only"]),
                    "edge": bool(own.edge.any()),
                }
            )
    return pd.DataFrame(rows)


def _part_worth(strategy: str, of: Fleet) -> float:
    """Return the part of the global batch that a strategy's gradient is worth."""
    if strategy in map(local_name, AVERAGES):
        return math.nan
    worth = {
        "uneven-plain": effective_batch(of.shares) / GLOBAL_BATCH,
        HALF: LOCAL_BATCH / GLOBAL_BATCH,
    }
    return worth.get(strategy, 1.0)


def control_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the modelled time of local SGD to the target over that of its control.

    What local steps gain over steps of the global batch may be due to their smaller batch alone:
    the control is the fast device alone with that batch.

    Args:
        runs: From `.rivals.curves`.

    Returns:
        A row a ratio and average: ``ratio``, ``strategy``, and as in `rivals_table` ``steps``,
        ``time``, ``low``, ``high``, ``reached`` and ``seeds``, as multiples of the control's.
    """
    goals = targets_of(runs)
    control = needed(runs[runs.strategy == HALF], goals)
    rows = []
    for ratio in sorted(set(runs.ratio) - {0.0}):
        times = step_times(fleet(ratio), ratio)
        for average in AVERAGES:
            name = local_name(average)
            own = runs[(runs.strategy == name) & (runs.ratio == ratio)]
            steps = needed(own, goals) / control
            found = _over_seeds(steps, times[name] / times[HALF])
            rows.append({"ratio": ratio, "strategy": name, **found})
    return pd.DataFrame(rows)


def targets_of(runs: pd.DataFrame) -> pd.Series:
    """Return the target of each seed, see `.target.targets`.

    Args:
        runs: From `.rivals.curves`.
    """
    exact = runs[runs.strategy == EXACT]
    return targets(exact, middle_length(exact))


def _over_seeds(steps: pd.Series, step_ratio: float) -> Mapping[str, float]:
    """Return steps and times as multiples, over the seeds that reach the target."""
    logs = [math.log(each) for each in steps if math.isfinite(each)]
    counts = {"reached": len(logs), "seeds": len(steps)}
    if not logs:
        return {**dict.fromkeys(("steps", "time", "low", "high"), math.nan), **counts}
    mean, half = interval(logs)
    middle = math.exp(mean)
    return {
        "steps": middle,
        "time": step_ratio * middle,
        "low": step_ratio * math.exp(mean - half),
        "high": step_ratio * math.exp(mean + half),
        **counts,
    }
