"""Is the plan as fast as the best of a sweep of splits, and never slower than the fast replica alone?

Two emulated replicas. All splits in steps of B/32, from the fast replica alone to half as much
again for the slow one as its speed calls for, are trained in turns, and then two more around the
best. The smallest of many noisy medians is smaller than its split really is, and a plan that seems
best may owe it to noise. So the turns of the sweep only say which other split is the best; the plan
and that one are then trained in turns again, and those runs alone give their ratio.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

import hetlib
from tests.bench import Row
from tests.bench._measure import row
from tests.bench.prediction import experiment, step_of

CASES = (("smallcnn", 16, 4, 16), ("resnet18", 16, 2, 7))  # model, pixels, turns, steps of each
SLOWDOWNS = (2, 4, 8, 50)
BATCH = 128
STEP = BATCH // 32  # samples of the slow replica from one split of the sweep to the next
PAIRS = 8  # turns of the plan and the best other split


def splits_of(chosen: tuple[int, ...], slowdown: float) -> dict[str, tuple[int, ...]]:
    """Return the plan's split, equal shares, and those of the sweep that are others, by the slow replica's samples."""
    most = 1.5 * BATCH / (1 + slowdown) + STEP
    swept = {
        f"{slow}": (BATCH - slow, slow)
        for slow in range(0, int(most) + 1, STEP)
        if BATCH - slow != chosen[0]
    }
    return {"plan": chosen, "equal": (BATCH // 2, BATCH // 2)} | swept


def step_with(
    replicas: hetlib.Replicas, model: str, size: int, each: int, shares: tuple[int, ...]
) -> float:
    """Return the median step of one run, in seconds."""
    return step_of(
        hetlib.train(experiment(model, size, BATCH, shares=shares, max_steps=each), replicas)
    )


def in_turns(
    train: Callable[[tuple[int, ...]], float], splits: Mapping[str, tuple[int, ...]], turns: int
) -> dict[str, np.ndarray]:
    """Return the median steps of each turn, by split; every other turn goes backwards."""
    found: dict[str, list[float]] = {name: [] for name in splits}
    for turn in range(turns):
        for name in list(splits)[:: -1 if turn % 2 else 1]:
            found[name].append(train(splits[name]))
    return {name: np.array(times) for name, times in found.items()}


def best_of(splits: Mapping[str, tuple[int, ...]], times: Mapping[str, np.ndarray]) -> str:
    """Return the name of the fastest split beside the plan."""
    return min(splits.keys() - {"plan", "equal"}, key=lambda name: np.median(times[name]))


def over_best(
    train: Callable[[tuple[int, ...]], float],
    splits: Mapping[str, tuple[int, ...]],
    times: Mapping[str, np.ndarray],
) -> tuple[str, list[float]]:
    """Return the best split beside the plan, and the plan's step over its own in runs of their own."""
    best = best_of(splits, times)
    again = in_turns(train, {"plan": splits["plan"], best: splits[best]}, PAIRS)
    return best, list(again["plan"] / again[best])


def refined(
    train: Callable[[tuple[int, ...]], float],
    splits: Mapping[str, tuple[int, ...]],
    times: Mapping[str, np.ndarray],
    turns: int,
) -> tuple[dict[str, tuple[int, ...]], dict[str, np.ndarray]]:
    """Return the splits and times with those half a step around the best, which is timed again beside them."""
    best = best_of(splits, times)
    near = {
        slow: (BATCH - slow, slow) for n in (-1, 0, 1) if (slow := int(best) + n * STEP // 2) >= 0
    }
    finer = {f"{slow}": shares for slow, shares in near.items() if shares != splits["plan"]}
    return {**splits, **finer}, {**times, **in_turns(train, finer, turns)}


def run() -> list[Row]:
    """Return plan over best of the sweep, over equal shares and over alone, for each model and slow-down."""
    rows = []
    for slowdown in SLOWDOWNS:
        with hetlib.Replicas(hetlib.Platform.emulated([1, slowdown])) as replicas:
            for model, size, turns, each in CASES if slowdown < 50 else CASES[:1]:
                plan = hetlib.plan_experiment(experiment(model, size, BATCH), replicas)
                splits, train = (
                    splits_of(plan.shares, slowdown),
                    partial(step_with, replicas, model, size, each),
                )
                times = in_turns(train, splits, turns)
                split, own = "/".join(map(str, plan.shares)), times["plan"]
                best, ratios = over_best(train, *refined(train, splits, times, turns))
                title = f"{model}, slow-down {slowdown}, plan {split}"
                rows.append(
                    row(f"{title}: step / best of the sweep ({best})", ratios, at_most=1.03)
                )
                rows.append(
                    row(f"{title}: step / alone", list(own / times.get("0", own)), at_most=1.02)
                )
                ideal = (1 + 1 / slowdown) * slowdown / 2
                rows.append(
                    row(
                        f"{title}: equal / step; proportional ideal {ideal:.2f}",
                        list(times["equal"] / own),
                    )
                )
    return rows
