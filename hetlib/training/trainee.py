"""All that one process trains with, in one object: made by `prepare`, used by the loop."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from hetlib.balanced.batchnorm import convert_batchnorm
from hetlib.balanced.sampler import BalancedSampler
from hetlib.datasets.types import Batch
from hetlib.planning.rebalance import Rebalancer
from hetlib.replicas.emulation import SlowDown
from hetlib.training.experiment import Experiment
from hetlib.training.opening import Data, Reader, open_split
from hetlib.training.place import Place
from hetlib.training.setup import (
    Job,
    build_exchange,
    build_network_on,
    build_optimizer,
    build_rebalancer,
    build_sampler,
    build_schedule,
    device_of,
    largest_pass,
    slow_downs,
)


@dataclass
class Trainee:
    """All that one process trains with; values of replicas are those of the active ones.

    Attributes:
        experiment: The settings.
        place: Which part of each global batch it computes.
        speeds: For weights by speed.
        most: Samples of a pass; more are taken in several.
        device: Where it computes.
        data: What it learns from.
        held_out: What it is evaluated on.
        reader: Reads batches of the data, augmented where that is asked for.
        sampler: Deals the global batches.
        network: The bare network.
        model: The network as training calls it: in DDP, or with statistics by segment.
        segments: Samples of each virtual replica in the batch at hand, for those statistics.
        slow: Emulates a slower device.
        drift: By step, the slow-down from there on.
        optimizer: Updates the network.
        schedule: Moves the learning rate.
        rebalancer: Moves the shares; None: they stay.
        steps: Of the whole training.
        epoch: That is trained, from 0.
    """

    experiment: Experiment
    place: Place
    speeds: tuple[float, ...]
    most: int
    device: torch.device
    data: Data
    held_out: Data
    reader: Reader
    sampler: BalancedSampler
    network: nn.Module
    model: nn.Module
    segments: list[int]
    slow: SlowDown
    drift: Mapping[int, float]
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    rebalancer: Rebalancer | None
    steps: int
    epoch: int = 0

    @property
    def epochs(self) -> int:
        """Passes over the data, the last one perhaps in part."""
        return -(-self.steps // len(self.sampler))

    def read(self, indices: np.ndarray) -> Batch:
        """Return training images, as they come in the epoch at hand, and their labels.

        Args:
            indices: Positions in the data, (n,).
        """
        return self.reader(indices, self.epoch)

    def leave(self) -> None:
        """Leave the process group of the active replicas."""
        # a DDP object that outlives its process group can abort the process
        self.model = self.network
        if self.place.group is not None:
            dist.barrier(self.place.group)
            dist.destroy_process_group(self.place.group)


def prepare(job: Job, place: Place) -> Trainee:
    """Build all that one process trains with.

    Args:
        job: What is to be trained.
        place: This process's part.

    Returns:
        The trainee, at the first step.
    """
    experiment = job.experiment
    data = open_split(experiment, "train", job.found)
    held_out = open_split(experiment, experiment.evaluate_split, job.found)
    shares = place.among(job.assignment.shares)
    sampler = build_sampler(experiment, place, shares, data)
    rebalancer = build_rebalancer(job, place, shares)

    torch.manual_seed(experiment.seed)  # of random layers such as dropout
    device = device_of(job.platform, place.rank)
    network = build_network_on(device, experiment, data)
    if experiment.norm == "balanced":
        convert_batchnorm(network, place.team)
    drift = slow_downs(job, place.rank)
    slow = SlowDown(max(drift.values()), network)
    segments: list[int] = []
    model = build_exchange(network, place, segments)

    optimizer = build_optimizer(experiment, network, experiment.peak_rate(shares))
    steps = experiment.epochs * len(sampler)
    if experiment.max_steps is not None:
        steps = min(experiment.max_steps, steps)
    return Trainee(
        experiment=experiment,
        place=place,
        speeds=place.among(job.assignment.speeds),
        most=largest_pass(job, place.rank),
        device=device,
        data=data,
        held_out=held_out,
        reader=Reader(data, experiment.augment, experiment.seed),
        sampler=sampler,
        network=network,
        model=model,
        segments=segments,
        slow=slow,
        drift=drift,
        optimizer=optimizer,
        schedule=build_schedule(experiment, optimizer, steps),
        rebalancer=rebalancer,
        steps=steps,
    )
