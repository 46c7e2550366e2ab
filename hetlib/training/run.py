"""From an experiment to its record: measure and plan where needed, train, keep what came out."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hetlib.datasets.catalog import load_dataset
from hetlib.environment import environment
from hetlib.files import fingerprint
from hetlib.planning.partition import Partition
from hetlib.replicas.team import Team
from hetlib.training.experiment import RESULTS_VERSION, Experiment, check_accumulation
from hetlib.training.loop import train_replica
from hetlib.training.planning import measure, plan_experiment
from hetlib.training.records import RunRecord, phases
from hetlib.training.setup import Job
from hetlib.training.strategies import STRATEGIES, learning_rate, shares_for


def train(
    experiment: Experiment,
    replicas: Team,
    *,
    store: Path | None = None,
    plan_with: Partition | None = None,
    keep_weights: bool = False,
    seconds: float = 10,
) -> RunRecord:
    """Run an experiment, or return its record when the folder ``store`` holds one of the same fingerprint.

    ``plan_with`` is a measured plan for shares by speed; without it and without
    ``experiment.shares`` processes are measured now, in ``seconds``, and virtual replicas are taken
    at their nominal speeds. ``keep_weights`` leaves the trained weights of the first active replica
    in ``record.weights``.
    """
    asked = time.perf_counter()
    if store and replicas.rank is not None:
        # Ranks that find other records there would wait for each other.
        raise ValueError(
            f"`store` is {store!r}; let rank 0 of a job keep the record: record.save(folder)."
        )
    platform, strategy = replicas.platform, STRATEGIES[experiment.strategy]
    settings, machines, virtual = (
        experiment.to_dict(),
        platform.to_list(),
        not replicas.timed,
    )
    if any(
        len(values) != len(platform) or min(values) < 0
        for _, values in (*experiment.plans, *experiment.drift)
    ):
        raise ValueError(
            f"`plans` and `drift` need one number >= 0 for each of the {len(platform)} replicas."
        )
    if experiment.rebalance and not replicas.timed:
        raise ValueError(
            "`rebalance` needs step times, and virtual replicas have none; use a record's `plans`."
        )
    if strategy.shares == "speed" and experiment.shares is None and plan_with is None:
        plan_with = plan_experiment(experiment, replicas, seconds=seconds)
    speeds = platform.nominal_speeds
    if plan_with and all(plan_with.compute):
        speeds = tuple(n / t for n, t in zip(plan_with.shares, plan_with.compute, strict=True))
    shares = shares_for(experiment, speeds, plan_with.shares if plan_with else None)
    passes = (
        plan_with.passes
        if plan_with and plan_with.passes and plan_with.shares == shares
        else (1,) * len(shares)
    )
    parts = [
        -(-n // k) if k > 1 else experiment.global_batch
        for n, k in zip(shares, passes, strict=True)
    ]
    most = tuple(r.max_batch or part for r, part in zip(platform.replicas, parts, strict=True))
    if np.greater([shares, *(later for _, later in experiment.plans)], most).any():
        check_accumulation(experiment)
    # The data set is opened here first: bad input is an error before any worker starts, and the
    # cache exists.
    data = load_dataset(experiment.dataset, "train", **experiment.dataset_options)
    mode, weighting_speeds = (
        "virtual" if virtual else "processes",
        speeds if strategy.weighting == "speed" else (),
    )
    decisive = (
        settings,
        machines,
        mode,
        shares,
        weighting_speeds,
        data.checksum,
        torch.__version__,
    )
    name = fingerprint((RESULTS_VERSION, *decisive))[:16]
    if store is not None and not keep_weights and (found := RunRecord.load(store / f"{name}.json")):
        return found
    models = measure(experiment, replicas, seconds=seconds) if experiment.rebalance else None  # type: ignore[arg-type]
    job = Job(experiment, platform, shares, speeds, most, keep_weights, models)
    results = [result for result in replicas.run(train_replica, job) if result is not None]
    stamps, weights = (
        np.stack([result.pop("stamps") for result in results]),
        results[0].pop("weights"),
    )
    known: Any = {"fingerprint": name, "experiment": settings, "platform": machines, "mode": mode}
    known |= {
        "shares": list(shares),
        "lr": learning_rate(experiment, [n for n in shares if n]),
        "speeds": list(speeds),
    }
    known |= {"environment": environment() | replicas.about()}
    times, steps = ("", {}) if virtual else ("measured", phases(stamps, shares))
    started = {"first_step": float(stamps[:, 0, 3].max() - asked)}
    if replicas.rank is not None and not shares[replicas.rank]:
        started = {}  # measured from this process's call, on a clock that it may not share
    record = RunRecord(**known, times=times, steps=steps, started=started, **results[0])
    if store is not None:
        record.save(store)
    record.weights = weights  # type: ignore[attr-defined]
    return record
