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
    data = torch.zeros(numbers)
    taken = []
    for _ in range(40):
        dist.barrier()
        begin = time.perf_counter()
        dist.all_reduce(data)
        taken.append(time.perf_counter() - begin)
    return float(np.median(taken[5:]))


def parameters_of(model: str) -> int:
    """Return the numbers that an all-reduce of the gradients sums."""
    network = build_model(model, bands=13, classes=8, size=16)
    return sum(p.numel() for p in network.parameters())


def modelled_step(models: list[hetlib.SpeedModel], record: hetlib.RunRecord, cost: float) -> float:
    """Return the seconds of the one step that a simulation without stragglers has."""
    steps = simulate(models, record.shares, 1, communication=lambda _: cost)
    return float(steps[0])


def run() -> list[Row]:
    """Return simulated over measured median step times, for equal shares and for balanced ones."""
    experiment = hetlib.Experiment(
        max_steps=60,
        epochs=40,
        evaluate_every=0,
        dataset_options={"per_class": 300, "split_by": "blocks"},
    )
    sent = parameters_of(experiment.model)
    ratios: dict[str, list[float]] = {"equal": [], "balanced": []}
    platform = hetlib.Platform.emulated(SLOWDOWNS)
    with hetlib.Replicas(platform) as replicas:
        for _ in range(ROUNDS):
            models = hetlib.measure(experiment, replicas)
            plan = hetlib.partition(models, experiment.global_batch)
            cost = max(replicas.run(all_reduce, sent))
            for strategy, found in ratios.items():
                chosen = replace(experiment, strategy=strategy)
                record = hetlib.train(chosen, replicas, plan_with=plan)
                measured = np.median(record.step_seconds[5:])
                found.append(float(modelled_step(models, record, cost) / measured))
    rows = []
    for strategy, found in ratios.items():
        title = f"two replicas, slow-down 4, simulated / measured step: {strategy}"
        rows.append(row(title, found, within=0.15))
    return rows
