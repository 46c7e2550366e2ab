"""Is the plan as fast as the best of a sweep of splits, and never slower than the fast one alone?

Two emulated replicas. All splits in steps of B/32, from the fast replica alone to half as much
again for the slow one as its speed calls for, are trained in turns, and then two more around the
best. The smallest of many noisy medians is smaller than its split really is, and a plan that seems
best may owe it to noise. So the turns of the sweep only say which other split is the best; the plan
and that one, and the fast replica alone, are then trained in turns again, and those runs alone give
their ratios.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np

import hetlib
from hetlib.balanced.shares import slashed
from tests.bench import Row
from tests.bench._measure import row
from tests.bench.prediction import experiment, step_of

Shares: TypeAlias = tuple[int, ...]
Train: TypeAlias = Callable[[Shares], float]
Splits: TypeAlias = Mapping[str, Shares]
Times: TypeAlias = Mapping[str, np.ndarray]


class Case(NamedTuple):
    """What is trained: a model, its pixels, the turns of the sweep, and the steps of each."""

    model: str
    size: int
    turns: int
    steps: int


CASES = (
    Case("smallcnn", 16, 4, 16),
    Case("resnet18", 16, 2, 7),
)
SLOWDOWNS = (2, 4, 8, 50)
STEEPEST = 50  # with the first case alone
BATCH = 128
STEP = BATCH // 32  # samples of the slow replica from one split of the sweep to the next
AGAIN = 8  # turns of the plan, the best other split and the fast replica alone
ALONE = "0"  # samples of the slow replica, by which splits go


def splits_of(chosen: Shares, slowdown: float) -> dict[str, Shares]:
    """Return the plan's split, equal shares, and those of the sweep that are others.

    Those of the sweep go by the slow replica's samples.
    """
    most = 1.5 * BATCH / (1 + slowdown) + STEP
    splits = {"plan": chosen, "equal": (BATCH // 2, BATCH // 2)}
    for slow in range(0, int(most) + 1, STEP):
        fast = BATCH - slow
        if fast != chosen[0]:
            splits[str(slow)] = (fast, slow)
    return splits


def step_with(replicas: hetlib.Replicas, case: Case, shares: Shares) -> float:
    """Return the median step of one run, in seconds."""
    settings = experiment(
        case.model,
        case.size,
        BATCH,
        shares=shares,
        max_steps=case.steps,
    )
    record = hetlib.train(settings, replicas)
    return step_of(record)


def in_turns(train: Train, splits: Splits, turns: int) -> dict[str, np.ndarray]:
    """Return the median steps of each turn, by split; every other turn goes backwards."""
    found: dict[str, list[float]] = {name: [] for name in splits}
    for turn in range(turns):
        order = list(splits)
        if turn % 2:
            order.reverse()
        for name in order:
            found[name].append(train(splits[name]))
    return {name: np.array(times) for name, times in found.items()}


def best_of(splits: Splits, times: Times) -> str:
    """Return the name of the fastest split beside the plan."""
    others = splits.keys() - {"plan", "equal"}
    return min(others, key=lambda name: np.median(times[name]))


class Fresh(NamedTuple):
    """The plan's step over that of others, in fresh runs.

    Attributes:
        best: Name of the best split of the sweep beside the plan.
        over_best: Its ratios, one a turn.
        over_alone: Those to the fast replica alone; ones where that is the plan.
    """

    best: str
    over_best: np.ndarray
    over_alone: np.ndarray


def fresh_ratios(train: Train, splits: Splits, times: Times) -> Fresh:
    """Train the plan, the best other split and the fast replica alone in turns again."""
    best = best_of(splits, times)
    names = {"plan", best, ALONE} & splits.keys()
    again = in_turns(train, {name: splits[name] for name in sorted(names)}, AGAIN)
    plan = again["plan"]
    # the plan may be to leave the slow one out
    alone = again.get(ALONE, plan)
    return Fresh(best, plan / again[best], plan / alone)


def refined(
    train: Train, splits: Splits, times: Times, turns: int
) -> tuple[dict[str, Shares], dict[str, np.ndarray]]:
    """Return the splits and times with those half a step around the best.

    The best is timed again beside them.
    """
    best = int(best_of(splits, times))
    finer = {}
    for slow in (best - STEP // 2, best, best + STEP // 2):
        shares = (BATCH - slow, slow)
        if slow >= 0 and shares != splits["plan"]:
            finer[str(slow)] = shares
    again = in_turns(train, finer, turns)
    return {**splits, **finer}, {**times, **again}


def rows_of(replicas: hetlib.Replicas, case: Case, slowdown: float) -> list[Row]:
    """Return the plan over the best of the sweep, over the fast one alone, and equal shares."""
    settings = experiment(case.model, case.size, BATCH)
    plan = hetlib.plan_experiment(settings, replicas)
    splits = splits_of(plan.shares, slowdown)
    train = partial(step_with, replicas, case)
    times = in_turns(train, splits, case.turns)
    more_splits, more_times = refined(train, splits, times, case.turns)
    fresh = fresh_ratios(train, more_splits, more_times)

    own = times["plan"]
    ideal = (1 + 1 / slowdown) * slowdown / 2
    split = slashed(plan.shares)
    title = f"{case.model}, slow-down {slowdown}, plan {split}"
    return [
        row(
            f"{title}: step / best of the sweep ({fresh.best})",
            list(fresh.over_best),
            at_most=1.03,
        ),
        row(f"{title}: step / alone", list(fresh.over_alone), at_most=1.02),
        row(
            f"{title}: equal / step; proportional ideal {ideal:.2f}",
            list(times["equal"] / own),
        ),
    ]


def run() -> list[Row]:
    """Return what the plan is over other splits, for each model and slow-down."""
    rows = []
    for slowdown in SLOWDOWNS:
        cases = CASES
        if slowdown >= STEEPEST:
            cases = CASES[:1]
        platform = hetlib.Platform.emulated([1, slowdown])
        with hetlib.Replicas(platform) as replicas:
            for case in cases:
                rows += rows_of(replicas, case, slowdown)
    return rows
