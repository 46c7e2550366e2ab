"""From an experiment to its record: measure and plan where needed, train, keep what came out."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .datasets import load_dataset
from .experiment import STRATEGIES, Experiment, fingerprint, learning_rate, shares_for
from .partition import Partition
from .planner import measure, plan_experiment
from .platform import Platform
from .records import RunRecord, environment
from .replicas import Replicas
from .train import Job, train

__all__ = ["VirtualReplicas", "run"]


class VirtualReplicas:
    """Replicas of a platform in this process, on one copy of the weights.

    Gradients, buffers and scores equal those of the processes to rounding (but for random layers such as
    dropout, whose draws differ). Step times do not exist here; speed models give modelled ones.
    """

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    def run(self, function: Any, *arguments: Any) -> list[Any]:
        """Call ``function(None, *arguments)`` once, for all replicas, with the first one's threads."""
        threads = torch.get_num_threads()
        torch.set_num_threads(self.platform.replicas[0].threads)
        try:
            with torch.random.fork_rng(devices=[]):
                return [function(None, *arguments)]
        finally:
            torch.set_num_threads(threads)

    def train(self, experiment: Experiment, **options: Any) -> RunRecord:
        """Run an `Experiment` on these replicas; see `run`."""
        return run(experiment, self, **options)


def run(
    experiment: Experiment,
    replicas: "Replicas | VirtualReplicas",
    *,
    store: Path | None = None,
    plan_with: Partition | None = None,
    keep_weights: bool = False,
) -> RunRecord:
    """Run an experiment, or return its record when ``store`` holds one of the same fingerprint.

    Args:
        experiment: What to train, and how.
        replicas: Processes or virtual ones.
        store: Folder of records.
        plan_with: Measured plan for shares by speed; without it and without ``experiment.shares`` the
            processes are measured now, and virtual replicas are taken at their nominal speeds.
        keep_weights: Leave the trained weights of the first active replica in ``record.weights``.
    """
    asked = time.perf_counter()
    platform = replicas.platform
    virtual = isinstance(replicas, VirtualReplicas)
    if any(len(values) != len(platform) or min(values) < 0 for _, values in (*experiment.plans, *experiment.drift)):
        raise ValueError(f"`plans` and `drift` need one number >= 0 for each of the {len(platform)} replicas.")
    if experiment.rebalance and not isinstance(replicas, Replicas):
        raise ValueError("`rebalance` needs step times, and virtual replicas have none; use a record's `plans`.")
    if STRATEGIES[experiment.strategy].shares == "speed" and experiment.shares is None and plan_with is None:
        plan_with = plan_experiment(experiment, replicas)
    planned = plan_with.shares if plan_with else None
    speeds = platform.nominal_speeds
    if plan_with and all(plan_with.compute):
        speeds = tuple(n / t for n, t in zip(plan_with.shares, plan_with.compute, strict=True))
    shares = shares_for(experiment, speeds, planned)
    # The data set is opened here first: bad input is an error before any worker starts, and the cache exists.
    data = load_dataset(experiment.dataset, "train", **experiment.dataset_options)
    mode = "virtual" if virtual else "processes"
    weighting_speeds = speeds if STRATEGIES[experiment.strategy].weighting == "speed" else ()
    name = fingerprint(
        experiment.to_dict(), platform.to_list(), mode, shares, weighting_speeds, data.checksum, torch.__version__
    )
    if store is not None and not keep_weights and (found := RunRecord.load(store / f"{name}.json")):
        return found
    models = measure(experiment, replicas) if experiment.rebalance else None  # type: ignore[arg-type]
    job = Job(experiment, platform, shares, speeds, keep_weights, models)
    results = [result for result in replicas.run(train, job) if result is not None]
    first = results[0]
    stamps = np.stack([result["stamps"] for result in results])  # (active, steps, 4)
    record = RunRecord(
        fingerprint=name,
        experiment=experiment.to_dict(),
        platform=platform.to_list(),
        mode=mode,
        times="" if virtual else "measured",
        shares=list(shares),
        lr=learning_rate(experiment, [n for n in shares if n]),
        speeds=list(speeds),
        epochs=first["evaluations"],
        confusion=first["confusion"],
        steps={} if virtual else _phases(stamps, job),
        plans=first["plans"],
        started={"first_step": float(stamps[:, 0, 3].max() - asked)},
        dataset=first["dataset"],
        environment=environment() | {"contended": platform.contended},
    )
    if store is not None:
        record.save(store)
    if keep_weights:
        record.weights = first["weights"]  # type: ignore[attr-defined]
    return record


def _phases(stamps: np.ndarray, job: Job) -> dict[str, list[list[float]]]:
    """Turn time stamps (begin, computed, reduced, updated) into phases; all replicas read one clock."""
    begin, computed, reduced, updated = np.moveaxis(stamps, 2, 0)  # each (active, steps)
    last = np.minimum(computed.max(axis=0), reduced)
    phases = {
        "compute": computed - begin,
        "wait": last - computed,
        "communicate": reduced - last,
        "update": updated - reduced,
    }
    full = {}
    for phase, seconds in phases.items():
        values = np.zeros((stamps.shape[1], len(job.shares)))
        values[:, job.active] = np.maximum(seconds.T, 0)
        full[phase] = values.tolist()
    return full
