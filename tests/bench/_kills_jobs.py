"""What the replicas of `tests.bench.kills` do, phase by phase."""

import time
from collections.abc import Callable
from pathlib import Path

import torch.distributed as dist

import hetlib
from hetlib.replicas.processes import Replicas

SIZE = {"global_batch": 32, "epochs": 2, "dataset_options": {"per_class": 24}}


def answer(rank: int) -> int:
    """Be there."""
    return rank


def evaluate(rank: int) -> int:
    """Take turns with the others for half a second, as an evaluation does."""
    end = time.monotonic() + 0.5
    while True:
        late: list[bool] = [False, False]
        dist.all_gather_object(late, time.monotonic() > end)
        if any(late):
            return rank


def go_through(replicas: Replicas, store: Path, begin: Callable[[str], None], runs: int) -> None:
    """Start, measure, train and evaluate.

    Args:
        replicas: Two.
        store: Folder of records.
        begin: Called with what begins, and with what is saved.
        runs: How many trainings.
    """
    begin("start")
    replicas.run(answer)
    begin("measure")
    experiment = hetlib.Experiment(**SIZE)
    plan = hetlib.plan_experiment(experiment, replicas, seconds=0.2, progress=False)
    assert sum(plan.shares) == experiment.global_batch
    for seed in range(runs):
        begin("train")
        experiment = hetlib.Experiment(shares=(20, 12), seed=seed, **SIZE)
        record = hetlib.train(experiment, replicas, store=store)
        begin(f"saved {record.fingerprint}")
    begin("evaluate")
    replicas.run(evaluate)


def go_on(replicas: Replicas, store: Path) -> None:
    """Train once more, whatever is stored already.

    Args:
        replicas: Two.
        store: Folder of records.
    """
    seed = len(list(store.glob("*.json"))) + 1000
    experiment = hetlib.Experiment(shares=(20, 12), seed=seed, **SIZE)
    record = hetlib.train(experiment, replicas, store=store)
    assert len(record.epochs) == SIZE["epochs"]


def main(store: Path, timeout: float, runs: int) -> None:
    """Do it all, and say what begins.

    Args:
        store: Folder of records.
        timeout: Of the replicas, in seconds.
        runs: How many trainings.
    """
    platform = hetlib.Platform.emulated([1, 1])
    with hetlib.Replicas(platform, timeout=timeout) as replicas:
        go_through(replicas, store, lambda line: print(line, flush=True), runs)
