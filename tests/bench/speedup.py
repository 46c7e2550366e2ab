"""Is the plan as fast as the best of a sweep of splits, and never slower than the fast replica alone?

Two emulated replicas. All splits, the plan's and that without the slow replica among them, are trained in turns. The
smallest of many noisy medians is smaller than its split really is, and a plan that seems best may owe it to noise. So
the turns of the sweep only say which other split is the best; the plan and that one are then trained in turns again,
and those runs alone give their ratio.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

import hetlib
from tests.bench import Row
from tests.bench._measure import row
from tests.bench.prediction import experiment, step_of

CASES = (("smallcnn", 16, 5, 16), ("resnet18", 16, 3, 9))  # model, pixels, turns, steps of each
SLOWDOWNS = (2, 4, 8, 50)
BATCH = 128
SWEEP = (0, 8, 16, 28, 42)  # samples of the slow replica
PAIRS = 8  # turns of the plan and the best other split


def splits_of(chosen: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return the plan's split, equal shares, and those of the sweep that are others."""
    swept = {f"{slow}": (BATCH - slow, slow) for slow in SWEEP if (BATCH - slow, slow) != chosen}
    return {"plan": chosen, "equal": (BATCH // 2, BATCH // 2)} | swept


def step_with(replicas: hetlib.Replicas, model: str, size: int, each: int, shares: tuple[int, ...]) -> float:
    """Return the median step of one run, in seconds."""
    return step_of(replicas.train(experiment(model, size, BATCH, shares=shares, max_steps=each)))


def in_turns(
    train: Callable[[tuple[int, ...]], float], splits: Mapping[str, tuple[int, ...]], turns: int
) -> dict[str, np.ndarray]:
    """Return the median steps of each turn, by split; every other turn goes backwards."""
    found: dict[str, list[float]] = {name: [] for name in splits}
    for turn in range(turns):
        for name in list(splits)[:: -1 if turn % 2 else 1]:
            found[name].append(train(splits[name]))
    return {name: np.array(times) for name, times in found.items()}


def over_best(
    train: Callable[[tuple[int, ...]], float], splits: Mapping[str, tuple[int, ...]], times: Mapping[str, np.ndarray]
) -> tuple[str, list[float]]:
    """Return the best split of the sweep beside the plan, and the plan's step over its own in runs of their own."""
    best = min(splits.keys() - {"plan", "equal"}, key=lambda name: np.median(times[name]))
    again = in_turns(train, {"plan": splits["plan"], best: splits[best]}, PAIRS)
    return best, list(again["plan"] / again[best])


def run() -> list[Row]:
    """Return plan over best of the sweep, over equal shares and over alone, for each model and slow-down."""
    rows = []
    for slowdown in SLOWDOWNS:
        with hetlib.Replicas(hetlib.Platform.emulated([1, slowdown])) as replicas:
            for model, size, turns, each in CASES if slowdown < 50 else CASES[:1]:
                plan = hetlib.plan_experiment(experiment(model, size, BATCH), replicas)
                splits, train = splits_of(plan.shares), partial(step_with, replicas, model, size, each)
                times = in_turns(train, splits, turns)
                split, own = "/".join(map(str, plan.shares)), times["plan"]
                best, ratios = over_best(train, splits, times)
                title = f"{model}, slow-down {slowdown}, plan {split}"
                rows.append(row(f"{title}: step / best of the sweep ({best})", ratios, at_most=1.03))
                rows.append(row(f"{title}: step / alone", list(own / times.get("0", own)), at_most=1.02))
                ideal = (1 + 1 / slowdown) * slowdown / 2
                rows.append(row(f"{title}: equal / step; proportional ideal {ideal:.2f}", list(times["equal"] / own)))
    return rows
