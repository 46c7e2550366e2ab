"""Speeds and shares for an experiment: measured for processes, nominal for virtual replicas."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from hetlib.datasets.catalog import load_dataset
from hetlib.datasets.images import ImageDataset
from hetlib.planning.partition import Partition, partition
from hetlib.planning.progress import spending
from hetlib.planning.search import decide, limits_of
from hetlib.planning.speed import SpeedModel
from hetlib.planning.timing import Task, capped, curve
from hetlib.replicas.platform import Platform
from hetlib.replicas.team import Team
from hetlib.training.experiment import Experiment, check_accumulation
from hetlib.training.setup import DDP_OPTIONS, build_network_on, build_optimizer, device_of


def measure(
    experiment: Experiment, replicas: Team, *, seconds: float = 10, progress: bool | None = None
) -> list[SpeedModel]:
    """Measure the step of an experiment's model on every replica, all at the same time.

    Args:
        experiment: Names the data, the CNN, the optimizer and the global batch.
        replicas: Processes, which do the work.
        seconds: That it may take at most.
        progress: Whether to show a bar; None: where somebody looks.

    Returns:
        Step model of each replica.
    """
    with spending("measuring", seconds, progress):
        return replicas.run(_on_replica, experiment, replicas.platform, curve, seconds)


def plan_experiment(
    experiment: Experiment,
    replicas: Team,
    *,
    seconds: float = 10,
    keep_all: bool = False,
    accumulate: bool = False,
    progress: bool | None = None,
) -> Partition:
    """Choose an experiment's shares by speed, as `plan` does.

    Args:
        experiment: Names the data, the CNN, the optimizer and the global batch.
        replicas: Processes are measured; virtual replicas are taken at their nominal speeds.
        seconds: That it may take at most.
        keep_all: Whether every replica gets a share.
        accumulate: Whether shares may exceed ``max_batch``, in several passes.
        progress: Whether to show a bar; None: where somebody looks.

    Returns:
        The plan.

    Raises:
        ValueError: No replicas can take exactly the global batch, or several passes would change
            the result.
    """
    if accumulate:
        check_accumulation(experiment)
    if not replicas.timed:
        return _nominal(experiment, replicas.platform, keep_all, accumulate)
    with spending("planning", seconds, progress):
        plans = replicas.run(
            _on_replica, experiment, replicas.platform, decide, seconds, keep_all, accumulate
        )
    return plans[0]


def _nominal(
    experiment: Experiment, platform: Platform, keep_all: bool, accumulate: bool
) -> Partition:
    """Return the plan by nominal speeds."""
    models = [SpeedModel.constant(speed) for speed in platform.nominal_speeds]
    limits = limits_of(platform.replicas)
    if accumulate:
        limits["caps"] = None
    fewest = len(models) if keep_all else 1
    active = (fewest, len(models))
    return partition(models, experiment.global_batch, active=active, **limits)


@dataclass(frozen=True)
class _MeanLoss:
    """The loss of a network over the first samples of a data set, as often as it takes them."""

    data: ImageDataset
    device: torch.device
    dtype: torch.dtype

    def __call__(self, network: nn.Module, samples: int) -> torch.Tensor:
        images, labels = self.data.gather(np.arange(samples) % len(self.data))
        outputs = network(images.to(self.device, self.dtype))
        return nn.functional.cross_entropy(outputs, labels.to(self.device))


def _on_replica(
    rank: int, experiment: Experiment, platform: Platform, function: Callable[..., Any], *more: Any
) -> Any:
    """Call ``function(task, global_batch, *more)`` for this replica's part of an experiment."""
    device = device_of(platform, rank)
    data = load_dataset(experiment.dataset, "train", **experiment.dataset_options)
    task = Task(
        platform.replicas[rank],
        build_network_on(device, experiment, data),
        _MeanLoss(data, device, experiment.torch_dtype),
        partial(build_optimizer, experiment, lr=0.0),
        DDP_OPTIONS,
    )
    return function(capped(task), experiment.global_batch, *more)
