"""Speeds and shares for an experiment: measured for processes, nominal for virtual replicas."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from hetlib.datasets.catalog import load_dataset
from hetlib.planning.partition import Partition, partition
from hetlib.planning.progress import spending
from hetlib.planning.search import decide, limits_of
from hetlib.planning.speed import SpeedModel
from hetlib.planning.timing import Task, capped, curve
from hetlib.replicas.platform import Platform
from hetlib.replicas.processes import Replicas
from hetlib.training.experiment import Experiment, check_accumulation
from hetlib.training.setup import DDP_OPTIONS, build_network, build_optimizer


def measure(
    experiment: Experiment, replicas: Replicas, *, seconds: float = 10, progress: bool | None = None
) -> list[SpeedModel]:
    """Measure the step of an experiment's model on every replica, all at the same time, in at most ``seconds``."""
    with spending("measuring", seconds, progress):
        return replicas.run(_on_replica, experiment, replicas.platform, curve, seconds)


def plan_experiment(
    experiment: Experiment,
    replicas: Any,
    *,
    seconds: float = 10,
    keep_all: bool = False,
    accumulate: bool = False,
    progress: bool | None = None,
) -> Partition:
    """Choose an experiment's shares by speed, as `plan` does: measured for processes, nominal for virtual replicas."""
    if accumulate:
        check_accumulation(experiment)
    if isinstance(replicas, Replicas):
        with spending("planning", seconds, progress):
            return replicas.run(
                _on_replica, experiment, replicas.platform, decide, seconds, keep_all, accumulate
            )[0]
    models = [SpeedModel.constant(speed) for speed in replicas.platform.nominal_speeds]
    limits = limits_of(replicas.platform.replicas) | ({"caps": None} if accumulate else {})
    return partition(
        models,
        experiment.global_batch,
        active=(len(models) if keep_all else 1, len(models)),
        **limits,
    )


def _on_replica(
    rank: int, experiment: Experiment, platform: Platform, function: Callable[..., Any], *more: Any
) -> Any:
    """Call ``function(task, global_batch, *more)`` for this replica's part of an experiment."""
    device, dtype = torch.device(platform.replicas[rank].device), getattr(torch, experiment.dtype)
    data = load_dataset(experiment.dataset, "train", **experiment.dataset_options)
    network = (
        build_network(experiment, data).to(device, dtype).to(memory_format=torch.channels_last)
    )

    def loss_of(network: nn.Module, n: int) -> torch.Tensor:
        images, labels = data.gather(np.arange(n) % len(data))
        return nn.functional.cross_entropy(network(images.to(device, dtype)), labels.to(device))

    task = Task(
        platform.replicas[rank],
        network,
        loss_of,
        lambda n: build_optimizer(experiment, n, 0.0),
        DDP_OPTIONS,
    )
    return function(capped(task), experiment.global_batch, *more)
