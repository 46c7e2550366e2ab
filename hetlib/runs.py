"""From an experiment to its record: measure and plan where needed, train, keep what came out."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .cache import fingerprint
from .datasets import load_dataset
from .experiment import (
    RESULTS_VERSION,
    STRATEGIES,
    Experiment,
    check_accumulation,
    learning_rate,
    shares_for,
)
from .partition import Partition
from .planner import measure, plan_experiment
from .platform import Platform
from .records import PHASES, RunRecord, environment
from .replicas import Replicas
from .train import Job, train


@dataclass(frozen=True)
class VirtualReplicas:
    """Replicas of a platform in this process, on one copy of the weights.

    Gradients, buffers and scores equal the processes' to rounding, but for draws of layers such as
    dropout. No times.
    """

    platform: Platform

    def run(self, function: Any, *arguments: Any) -> list[Any]:
        """Call ``function(None, *arguments)`` once, for all replicas, with the first one's threads."""
        with torch.random.fork_rng(devices=[]), contextlib.ExitStack() as stack:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(self.platform.replicas[0].threads)
            return [function(None, *arguments)]

    train = Replicas.train  # the same, for these


def run(
    experiment: Experiment,
    replicas: "Replicas | VirtualReplicas",
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
    platform, strategy = replicas.platform, STRATEGIES[experiment.strategy]
    settings, machines, virtual = (
        experiment.to_dict(),
        platform.to_list(),
        isinstance(replicas, VirtualReplicas),
    )
    if any(
        len(values) != len(platform) or min(values) < 0
        for _, values in (*experiment.plans, *experiment.drift)
    ):
        raise ValueError(
            f"`plans` and `drift` need one number >= 0 for each of the {len(platform)} replicas."
        )
    if experiment.rebalance and not isinstance(replicas, Replicas):
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
    results = [result for result in replicas.run(train, job) if result is not None]
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
    known |= {"environment": environment() | {"contended": platform.contended}}
    times, steps = ("", {}) if virtual else ("measured", _phases(stamps, shares))
    started = {"first_step": float(stamps[:, 0, 3].max() - asked)}
    record = RunRecord(**known, times=times, steps=steps, started=started, **results[0])
    if store is not None:
        record.save(store)
    record.weights = weights  # type: ignore[attr-defined]
    return record


def _phases(stamps: np.ndarray, shares: Sequence[int]) -> dict[str, list[list[float]]]:
    """Turn the active replicas' time stamps into phases; all read one clock."""
    begin, computed, reduced, updated = np.moveaxis(stamps, 2, 0)  # each (active, steps)
    last = np.minimum(computed.max(axis=0), reduced)
    seconds = np.zeros((len(PHASES), stamps.shape[1], len(shares)))
    phases = np.stack([computed - begin, last - computed, reduced - last, updated - reduced])
    seconds[..., np.flatnonzero(shares)] = np.maximum(phases, 0).swapaxes(1, 2)
    return dict(zip(PHASES, seconds.tolist(), strict=True))
