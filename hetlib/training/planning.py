"""Speeds and shares for an experiment: measured for processes, nominal for virtual replicas."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from hetlib.inputs import flag, number, optional
from hetlib.planning.decision import decide
from hetlib.planning.limits import limits_of
from hetlib.planning.partition import Partition, partition
from hetlib.planning.progress import spending
from hetlib.planning.speed import SpeedModel
from hetlib.planning.timing import Task, capped, curve
from hetlib.replicas.platform import Platform
from hetlib.replicas.team import Team
from hetlib.training.asked import require_asked, require_timed
from hetlib.training.experiment import Experiment, check_accumulation
from hetlib.training.opening import Found, Opened, Reader, open_experiment, open_split
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

    Raises:
        ValueError: An argument is not allowed, or the data or the network cannot be had, or do not
            fit each other.
    """
    require_asked(experiment, replicas)
    require_timed(replicas)
    seconds = number("seconds", seconds, above=0)
    progress = optional(flag, "progress", progress)
    opened = open_experiment(experiment)
    return measure_opened(experiment, opened, replicas, seconds, progress)


def measure_opened(
    experiment: Experiment,
    opened: Opened,
    replicas: Team,
    seconds: float,
    progress: bool | None = None,
) -> list[SpeedModel]:
    """Measure as `measure` does, with data that were opened already."""
    about = (experiment, replicas.platform, opened.found)
    with spending("measuring", seconds, progress):
        return replicas.run(_on_replica, *about, curve, seconds)


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
        ValueError: An argument is not allowed, no replicas can take exactly the global batch, or
            several passes would change the result.
    """
    require_asked(experiment, replicas)
    seconds = number("seconds", seconds, above=0)
    keep_all = flag("keep_all", keep_all)
    accumulate = flag("accumulate", accumulate)
    progress = optional(flag, "progress", progress)
    opened = open_experiment(experiment)
    return plan_opened(
        experiment,
        opened,
        replicas,
        seconds=seconds,
        keep_all=keep_all,
        accumulate=accumulate,
        progress=progress,
    )


def plan_opened(
    experiment: Experiment,
    opened: Opened,
    replicas: Team,
    *,
    seconds: float,
    keep_all: bool = False,
    accumulate: bool = False,
    progress: bool | None = None,
) -> Partition:
    """Plan as `plan_experiment` does, with data that were opened already."""
    if accumulate:
        check_accumulation(experiment, opened.depends)
    if not replicas.timed:
        return _nominal(experiment, replicas.platform, keep_all, accumulate)
    about = (experiment, replicas.platform, opened.found)
    with spending("planning", seconds, progress):
        plans = replicas.run(_on_replica, *about, decide, seconds, keep_all, accumulate)
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

    read: Reader
    device: torch.device
    dtype: torch.dtype

    def __call__(self, network: nn.Module, samples: int) -> torch.Tensor:
        images, labels = self.read(np.arange(samples) % len(self.read.data), epoch=0)
        outputs = network(images.to(self.device, self.dtype))
        return nn.functional.cross_entropy(outputs, labels.to(self.device))


def _on_replica(
    rank: int,
    experiment: Experiment,
    platform: Platform,
    found: Found,
    function: Callable[..., Any],
    *more: Any,
) -> Any:
    """Call ``function(task, global_batch, *more)`` for this replica's part of an experiment."""
    device = device_of(platform, rank)
    data = open_split(experiment, "train", found)
    read = Reader(data, experiment.augment, experiment.seed)
    task = Task(
        platform.replicas[rank],
        build_network_on(device, experiment, data),
        _MeanLoss(read, device, experiment.torch_dtype),
        partial(build_optimizer, experiment, lr=0.0),
        DDP_OPTIONS,
    )
    return function(capped(task), experiment.global_batch, *more)
