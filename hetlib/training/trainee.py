"""All that one process trains with, in one object: made by `prepare`, used by the loop."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from hetlib.balanced.batchnorm import convert_batchnorm
from hetlib.balanced.sampler import BalancedSampler
from hetlib.datasets.catalog import load_dataset
from hetlib.datasets.images import ImageDataset
from hetlib.planning.rebalance import Rebalancer
from hetlib.replicas.emulation import SlowDown
from hetlib.training.experiment import Experiment
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
        shares: Local batches at the start.
        speeds: For weights by speed.
        most: Samples of a pass; more are taken in several.
        device: Where it computes.
        data: What it learns from.
        held_out: What it is evaluated on.
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
    """

    experiment: Experiment
    place: Place
    shares: tuple[int, ...]
    speeds: tuple[float, ...]
    most: int
    device: torch.device
    data: ImageDataset
    held_out: ImageDataset
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

    @property
    def epochs(self) -> int:
        """Passes over the data, the last one perhaps in part."""
        return -(-self.steps // len(self.sampler))

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
    options = experiment.dataset_options
    data = load_dataset(experiment.dataset, "train", **options)
    held_out = load_dataset(experiment.dataset, experiment.evaluate_split, **options)
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
        shares=shares,
        speeds=place.among(job.assignment.speeds),
        most=largest_pass(job, place.rank),
        device=device,
        data=data,
        held_out=held_out,
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
