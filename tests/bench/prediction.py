"""How well does a plan predict the step of the training after it?

Two emulated replicas, both kept in the plan. The training is a run of its own: other processes'
state, real batches. Each configuration is planned and trained three times in turns. The error of
single plans has in it what the machine's speed changes within seconds; that of the medians shows
what is wrong with the prediction itself.
"""

import itertools

import numpy as np

import hetlib
from tests.bench import Row
from tests.bench._measure import row

# Model, pixels, steps of the training: about as long for each, since speed changes from one tenth
# second to the next.
CASES = (("smallcnn", 16, 80), ("resnet18", 16, 16), ("mobilenet_v3_small", 32, 40))
BATCHES = (64, 128)
SLOWDOWNS = (2.0, 4.0)
TURNS = 3


def experiment(model: str, size: int, batch: int, **settings: object) -> hetlib.Experiment:
    """Return a run of a few steps after two for warming up."""
    fixed = {"epochs": 50, "max_steps": 16, "evaluate_every": 0, "lr": 0.01, "schedule": "constant"}
    fixed |= {
        "model": model,
        "global_batch": batch,
        "dataset_options": {"window": size, "per_class": 64},
    }
    return hetlib.Experiment(**(fixed | settings))


def step_of(record: hetlib.RunRecord) -> float:
    """Return the median step in seconds."""
    return float(np.median(record.step_seconds[3:]))


def run() -> list[Row]:
    """Return the relative error of the predicted step by model, and over all configurations."""
    single: dict[str, list[float]] = {model: [] for model, *_ in CASES}
    medians: dict[str, list[float]] = {model: [] for model, *_ in CASES}
    for slowdown in SLOWDOWNS:
        with hetlib.Replicas(hetlib.Platform.emulated([1, slowdown])) as replicas:
            for (model, size, steps), batch in itertools.product(CASES, BATCHES):
                settings = experiment(model, size, batch, max_steps=steps)
                ratios = []
                for _ in range(TURNS):
                    plan = hetlib.plan_experiment(settings, replicas, keep_all=True)
                    ratios.append(
                        plan.step / step_of(hetlib.train(settings, replicas, plan_with=plan))
                    )
                single[model] += [abs(ratio - 1) for ratio in ratios]
                medians[model].append(abs(float(np.median(ratios)) - 1))
    rows = []
    for title, errors in {
        "one plan, one run": single,
        f"median of {TURNS} plans and runs": medians,
    }.items():
        rows += [
            row(f"{model}, {title}: |predicted / measured - 1|", found)
            for model, found in errors.items()
        ]
        rows.append(row(f"all, {title}", list(itertools.chain(*errors.values())), at_most=0.05))
    return rows
