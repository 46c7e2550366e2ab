"""Simulated steps against measured ones, on two emulated replicas.

The simulation is given step models measured without communication and the time of an all-reduce of
as many bytes measured by itself; it knows nothing of the training that it is compared with.
"""

import time
from dataclasses import replace

import numpy as np
import torch
import torch.distributed as dist

import hetlib
from hetlib.models.registry import build_model
from hetlib.planning.simulate import simulate
from tests.bench import Row
from tests.bench._measure import row

SLOWDOWNS = (1.0, 4.0)
ROUNDS = 6


def all_reduce(rank: int, numbers: int) -> float:
    """Return the median seconds of an all-reduce of float32 numbers."""
    data, taken = torch.zeros(numbers), []
    for _ in range(40):
        dist.barrier()
        begin = time.perf_counter()
        dist.all_reduce(data)
        taken.append(time.perf_counter() - begin)
    return float(np.median(taken[5:]))


def run() -> list[Row]:
    """Return simulated over measured median step times, for equal shares and for balanced ones."""
    options = {"per_class": 300, "split_by": "blocks"}
    experiment = hetlib.Experiment(
        max_steps=60, epochs=40, evaluate_every=0, dataset_options=options
    )
    sent = sum(
        p.numel() for p in build_model(experiment.model, bands=13, classes=8, size=16).parameters()
    )
    ratios: dict[str, list[float]] = {"equal": [], "balanced": []}
    with hetlib.Replicas(hetlib.Platform.emulated(SLOWDOWNS)) as replicas:
        for _ in range(ROUNDS):
            models = hetlib.measure(experiment, replicas)
            plan = hetlib.partition(models, experiment.global_batch)
            cost = max(replicas.run(all_reduce, sent))
            for name, found in ratios.items():
                record = hetlib.train(replace(experiment, strategy=name), replicas, plan_with=plan)
                steps = simulate(models, record.shares, 1, communication=lambda _, cost=cost: cost)
                found.append(float(steps[0] / np.median(record.step_seconds[5:])))
    title = "two replicas, slow-down 4, simulated / measured step"
    return [row(f"{title}: {name}", found, within=0.15) for name, found in ratios.items()]
