"""What one replica trains with: data, network, optimizer, schedule."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hetlib.balanced.sampler import BalancedSampler
from hetlib.balanced.segmented import segment_batchnorm
from hetlib.planning.rebalance import Rebalancer
from hetlib.planning.speed import SpeedModel
from hetlib.replicas.platform import Platform
from hetlib.training.assignment import Assignment
from hetlib.training.experiment import Experiment
from hetlib.training.opening import Data, Found, build_network
from hetlib.training.place import Place

# renamed then
_SYNC = "forward_sync_buffers" if torch.__version__ >= "2.14" else "broadcast_buffers"

# In training nothing reads the buffers, so they are sent before an evaluation instead of at each
# step.
DDP_OPTIONS: dict[str, Any] = {_SYNC: False, "gradient_as_bucket_view": True}

# The rising fifth of a one-cycle schedule needs more than one step: at five torch divides by zero.
_RISING = 0.2
_SHORTEST_CYCLE = 6


@dataclass(frozen=True)
class Job:
    """What the replicas are sent: the experiment, and what was decided about it before.

    Attributes:
        experiment: The settings.
        platform: The replicas.
        assignment: Who takes how much.
        keep_weights: Whether the result holds the trained weights.
        models: Step model of each replica, for rebalancing; None: shares stay.
        found: By the process that leads, for opening the same data.
    """

    experiment: Experiment
    platform: Platform
    assignment: Assignment
    keep_weights: bool = False
    models: Sequence[SpeedModel] | None = None
    found: Found = field(default_factory=Found)


def device_of(platform: Platform, rank: int | None) -> torch.device:
    """Return where a replica computes.

    Args:
        platform: The replicas.
        rank: Number of the replica; None: all of them, in one process.

    Returns:
        The device. All in one process compute on the GPU that all of them are on, where torch sees
        it, else on the CPU.
    """
    if rank is not None:
        return torch.device(platform.replicas[rank].place)
    places = {replica.place for replica in platform.replicas}
    if len(places) > 1 or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device(places.pop())


def largest_pass(job: Job, rank: int | None) -> int:
    """Return the most samples of a pass; all replicas in one process take a batch at once.

    Args:
        job: What is to be trained.
        rank: Number of the replica; None: all of them.

    Returns:
        Samples.
    """
    if rank is None:
        return job.experiment.global_batch
    return job.assignment.most[rank]


def slow_downs(job: Job, rank: int | None) -> dict[int, float]:
    """Return the emulated slow-downs of a replica.

    Args:
        job: What is to be trained.
        rank: Number of the replica; None: all of them, which are not timed and not slowed.

    Returns:
        By step, the slow-down from there on; step 0 is among them.
    """
    if rank is None:
        return {0: 1.0}
    start = {0: job.platform.replicas[rank].slowdown}
    return start | {step: factors[rank] for step, factors in job.experiment.drift}


def build_sampler(
    experiment: Experiment, place: Place, shares: tuple[int, ...], data: Data
) -> BalancedSampler:
    """Return the sampler that deals the global batches, with the plans that the experiment names.

    Args:
        experiment: The settings.
        place: This process's part.
        shares: Local batches of the active replicas at the start.
        data: What is dealt.

    Returns:
        The sampler, at the first step.
    """
    sampler = BalancedSampler(
        len(data),
        shares,
        rank=place.position or 0,
        seed=experiment.seed,
        shards=data.shards,
    )
    for step, plan in experiment.plans:
        sampler.replan(place.among(plan), step)
    return sampler


def build_rebalancer(job: Job, place: Place, shares: tuple[int, ...]) -> Rebalancer | None:
    """Return what moves the shares while the replicas train, where that was asked for.

    Args:
        job: What is to be trained.
        place: This process's part; a replica that trains alone has nobody to share with.
        shares: Local batches of the active replicas at the start.

    Returns:
        The rebalancer, or None.
    """
    if not job.models or place.group is None:
        return None
    caps = [replica.max_batch for replica in place.among(job.platform.replicas)]
    return Rebalancer(place.among(job.models), shares, caps)


def build_network_on(device: torch.device, experiment: Experiment, data: Data) -> nn.Module:
    """Return an experiment's CNN where and as it is trained.

    Args:
        device: Where it computes.
        experiment: Names the CNN, its options, the seed and the precision.
        data: Whose bands, classes and windows it is made for.

    Returns:
        The network, with channels last in memory.
    """
    network = build_network(experiment, data).to(device, experiment.torch_dtype)
    return network.to(memory_format=torch.channels_last)


def build_exchange(network: nn.Module, place: Place, segments: list[int]) -> nn.Module:
    """Return the network as the replicas train it together.

    Args:
        network: The bare network.
        place: This process's part.
        segments: Will hold the samples of each virtual replica in the batch at hand.

    Returns:
        In processes the network in DDP; virtual replicas each take statistics of their own; a
        replica alone trains the bare network.
    """
    if place.group is not None:
        return DistributedDataParallel(network, process_group=place.group, **DDP_OPTIONS)
    if place.rank is None and len(place.active) > 1:
        return segment_batchnorm(network, segments)
    return network


def build_optimizer(experiment: Experiment, network: nn.Module, lr: float) -> torch.optim.Optimizer:
    """Return an experiment's optimizer, fused where torch has it.

    Args:
        experiment: Names the optimizer and its options.
        network: Whose weights it updates.
        lr: Learning rate.

    Returns:
        The optimizer.

    Raises:
        TypeError: It does not know one of the options.
    """
    kind = getattr(torch.optim, experiment.optimizer)
    options = experiment.used_optimizer_options | {"lr": lr}
    try:
        return kind(network.parameters(), **options, fused=True)
    except (TypeError, RuntimeError):  # not every optimizer has a fused form
        return kind(network.parameters(), **options)


def build_schedule(
    experiment: Experiment, optimizer: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return an experiment's schedule of the learning rate.

    Args:
        experiment: Names the schedule.
        optimizer: Whose learning rate moves; the present one is the peak.
        steps: Of the whole training.

    Returns:
        The schedule, which moves with each call of its ``step``.
    """
    kinds = torch.optim.lr_scheduler
    if experiment.schedule == "onecycle":
        return kinds.OneCycleLR(
            optimizer,
            max_lr=optimizer.param_groups[0]["lr"],
            total_steps=max(steps + 1, _SHORTEST_CYCLE),
            pct_start=_RISING,
            cycle_momentum=False,
        )
    if experiment.schedule == "cosine":
        return kinds.CosineAnnealingLR(optimizer, steps)
    return kinds.ConstantLR(optimizer, factor=1.0)
