"""Training of a GPU beside the CPU, in the settings of the profile `full` at a small size.

The balanced gradient has to reach the accuracy of one process; the plain mean is shown beside it.
"""

from collections.abc import Iterator

import numpy as np

import hetlib
from tests.gpu import Result, Setting, attempt, judge
from tests.gpu.common import platform_of
from tests.gpu.scenes import experiment_of

CHECK = "accuracy"
POINT = 0.01
SHARES = (112, 16)
STRATEGIES = ("single", "balanced", "uneven-plain")


def run(setting: Setting) -> Iterator[Result]:
    seeds = range(setting.choose(real=4, dry=1))
    accuracies: dict[str, list[float]] = {}
    with hetlib.Replicas(platform_of((setting.fast, "cpu")), timeout=60) as pool:
        for strategy in STRATEGIES:

            def train(strategy: str = strategy) -> Result:
                accuracies[strategy] = [trained(pool, setting, strategy, seed) for seed in seeds]
                mean = float(np.mean(accuracies[strategy]))
                note = f"mean of {len(seeds)} seeds, for comparison"
                compared = f"overall accuracy, {strategy}"
                return judge(CHECK, compared, mean, at_most=None, note=note)

            yield attempt(CHECK, f"overall accuracy, {strategy}", train)
    compared = "overall accuracy of one process, less that of the balanced gradient"
    yield attempt(CHECK, compared, lambda: below_one_process(compared, accuracies))


def below_one_process(compared: str, accuracies: dict[str, list[float]]) -> Result:
    """Judge by how much the balanced gradient falls short, on average over the seeds."""
    lost = np.array(accuracies["single"]) - np.array(accuracies["balanced"])
    return judge(CHECK, compared, float(lost.mean()), at_most=POINT)


def trained(pool: hetlib.Replicas, setting: Setting, strategy: str, seed: int) -> float:
    """Return the overall accuracy of a training."""
    experiment = experiment_of(
        strategy=strategy,
        shares=SHARES,
        global_batch=sum(SHARES),
        epochs=setting.choose(real=20, dry=2),
        evaluate_every=0,
        seed=seed,
        dataset_options={
            "per_class": setting.choose(real=100, dry=50),
            "size": setting.choose(real=24, dry=16),
        },
    )
    record = hetlib.train(experiment, pool)
    return float(record.epochs[-1]["oa"])
