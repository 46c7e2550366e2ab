"""How well does a plan predict the step of the training after it?

Two emulated replicas, both kept in the plan. The training is a run of its own: other processes'
state, real batches. Each configuration is planned and trained three times in turns. The error of
single plans has in it what the machine's speed changes within seconds; that of the medians shows
what is wrong with the prediction itself.
"""

import itertools
from typing import NamedTuple

import numpy as np

import hetlib
from tests.bench import Row
from tests.bench._measure import row


class Case(NamedTuple):
    """What is planned and trained: a model, its pixels, and the steps of the training."""

    model: str
    size: int
    steps: int


# About as long for each, since speed changes from one tenth second to the next.
CASES = (
    Case("smallcnn", 16, 80),
    Case("resnet18", 16, 16),
    Case("mobilenet_v3_small", 32, 40),
)
BATCHES = (64, 128)
SLOWDOWNS = (2.0, 4.0)
TURNS = 3


def experiment(model: str, size: int, batch: int, **settings: object) -> hetlib.Experiment:
    """Return a run of a few steps after two for warming up."""
    fixed = {
        "epochs": 50,
        "max_steps": 16,
        "evaluate_every": 0,
        "lr": 0.01,
        "schedule": "constant",
        "model": model,
        "global_batch": batch,
        "dataset_options": {"window": size, "per_class": 64},
    }
    return hetlib.Experiment(**(fixed | settings))


def step_of(record: hetlib.RunRecord) -> float:
    """Return the median step in seconds."""
    settled = record.step_seconds[3:]
    return float(np.median(settled))


def over_measured(replicas: hetlib.Replicas, case: Case, batch: int) -> list[float]:
    """Plan and train in turns; return the predicted step over the measured one of each turn."""
    settings = experiment(case.model, case.size, batch, max_steps=case.steps)
    ratios = []
    for _ in range(TURNS):
        plan = hetlib.plan_experiment(settings, replicas, keep_all=True)
        record = hetlib.train(settings, replicas, plan_with=plan)
        ratios.append(plan.step / step_of(record))
    return ratios


def rows_of(title: str, errors: dict[str, list[float]]) -> list[Row]:
    """Return the errors of each model, and of all together."""
    rows = []
    for model, found in errors.items():
        rows.append(row(f"{model}, {title}: |predicted / measured - 1|", found))
    together = list(itertools.chain(*errors.values()))
    rows.append(row(f"all, {title}", together, at_most=0.05))
    return rows


def run() -> list[Row]:
    """Return the relative error of the predicted step by model, and over all configurations."""
    single: dict[str, list[float]] = {case.model: [] for case in CASES}
    medians: dict[str, list[float]] = {case.model: [] for case in CASES}
    for slowdown in SLOWDOWNS:
        platform = hetlib.Platform.emulated([1, slowdown])
        with hetlib.Replicas(platform) as replicas:
            for case, batch in itertools.product(CASES, BATCHES):
                ratios = over_measured(replicas, case, batch)
                single[case.model] += [abs(ratio - 1) for ratio in ratios]
                middle = float(np.median(ratios))
                medians[case.model].append(abs(middle - 1))
    of_single = rows_of("one plan, one run", single)
    return of_single + rows_of(f"median of {TURNS} plans and runs", medians)
