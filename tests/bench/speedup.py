"""Is the plan as fast as the best of a sweep of splits, and never slower than the fast replica alone?

Two emulated replicas. All splits, the plan's and that without the slow replica among them, are trained in turns.
"""

import numpy as np

import hetlib
from tests.bench import Row
from tests.bench._measure import row
from tests.bench.prediction import experiment, step_of

CASES = (("smallcnn", 16, 5, 16), ("resnet18", 16, 2, 9))  # model, pixels, turns, steps of each
SLOWDOWNS = (2, 4, 8, 50)
BATCH = 128
SWEEP = (0, 8, 16, 28, 42)  # samples of the slow replica


def steps(
    replicas: hetlib.Replicas, model: str, size: int, turns: int, each: int, chosen: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Return the median steps of each turn, by split."""
    splits = {"plan": chosen, "equal": (BATCH // 2, BATCH // 2)}
    splits |= {f"{slow}": (BATCH - slow, slow) for slow in SWEEP if (BATCH - slow, slow) != chosen}
    found: dict[str, list[float]] = {name: [] for name in splits}
    for turn in range(turns):
        for name in list(splits)[:: -1 if turn % 2 else 1]:
            record = replicas.train(experiment(model, size, BATCH, shares=splits[name], max_steps=each))
            found[name].append(step_of(record))
    return {name: np.array(times) for name, times in found.items()}


def run() -> list[Row]:
    """Return plan over best of the sweep, over equal shares and over alone, for each model and slow-down."""
    rows = []
    for slowdown in SLOWDOWNS:
        with hetlib.Replicas(hetlib.Platform.emulated([1, slowdown])) as replicas:
            for model, size, turns, each in CASES if slowdown < 50 else CASES[:1]:
                plan = hetlib.plan_experiment(experiment(model, size, BATCH), replicas)
                times = steps(replicas, model, size, turns, each, plan.shares)
                split, own = "/".join(map(str, plan.shares)), times["plan"]
                swept = {name: values for name, values in times.items() if name != "equal"}
                best = min(swept, key=lambda name: np.median(swept[name]))
                title = f"{model}, slow-down {slowdown}, plan {split}"
                rows.append(row(f"{title}: step / best of the sweep ({best})", list(own / times[best]), at_most=1.03))
                rows.append(row(f"{title}: step / alone", list(own / times.get("0", own)), at_most=1.02))
                ideal = (1 + 1 / slowdown) * slowdown / 2
                rows.append(row(f"{title}: equal / step; proportional ideal {ideal:.2f}", list(times["equal"] / own)))
    return rows
