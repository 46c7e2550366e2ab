"""From a clock to a plan: time a model on every replica at once, and choose the local batches from that."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from .batchnorm import ALONE
from .datasets import load_dataset
from .emulation import SlowDown
from .experiment import Experiment
from .partition import Partition, partition
from .platform import Platform
from .replicas import Replicas
from .speed import SpeedModel, batches_to_time, time_step
from .train import build_network, build_optimizer

__all__ = ["measure", "plan", "plan_experiment"]


def plan(
    model: nn.Module, example_batch: Any, *, global_batch: int, max_batch: int | None = None, seconds: float = 4.0
) -> Partition:
    """Plan a job of one's own: every rank times itself, all ranks get the same plan.

    Times the forward and backward pass of a copy of the model, on all ranks at the same time.

    Args:
        model: The model on this rank's device, not yet wrapped in DDP.
        example_batch: Its inputs, a tensor or a tuple of them, ``(n, ...)`` with any n >= 1, on the same device.
        global_batch: Samples a step over all replicas.
        max_batch: Most samples that fit into this rank's memory.
        seconds: Budget of the timing.
    """
    network = copy.deepcopy(model).train()
    network.apply(lambda layer: setattr(layer, "process_group", ALONE))  # ranks take different numbers of steps
    inputs = example_batch if isinstance(example_batch, tuple) else (example_batch,)

    def batch_of(n: int) -> tuple[Any, ...]:
        return tree_map(lambda x: x[torch.arange(n, device=x.device) % len(x)], inputs)

    def loss_of(n: int) -> torch.Tensor:
        outputs = [o for o in tree_leaves(network(*batch_of(n))) if isinstance(o, torch.Tensor) and o.requires_grad]
        return torch.stack([o.float().square().mean() for o in outputs]).sum()

    device = next(network.parameters()).device
    count = dist.get_world_size() if dist.is_initialized() else 1
    own = _time(loss_of, SlowDown(1.0, network), None, batches_to_time(global_batch, count, max_batch), seconds, device)
    gathered: list[Any] = [(own, max_batch, str(device))] * count
    if count > 1:
        dist.all_gather_object(gathered, (own, max_batch, str(device)))
    models = [SpeedModel(tuple(times), tuple(times.values())) for times, _, _ in gathered]
    names = [f"replica {rank} ({name})" for rank, (_, _, name) in enumerate(gathered)]
    return partition(models, global_batch, caps=[cap for _, cap, _ in gathered], names=names)


def measure(experiment: Experiment, replicas: Replicas, *, seconds: float = 4.0) -> list[SpeedModel]:
    """Measure the step of an experiment's model on every replica, all at the same time, in about ``seconds``."""
    timed = replicas.run(_time_replica, experiment, replicas.platform, seconds)
    return [SpeedModel(tuple(times), tuple(times.values())) for times in timed]


def plan_experiment(experiment: Experiment, replicas: Any, *, seconds: float = 4.0) -> Partition:
    """Choose an experiment's shares by speed: measured for processes, nominal for virtual replicas."""
    platform = replicas.platform
    if isinstance(replicas, Replicas):
        models = measure(experiment, replicas, seconds=seconds)
    else:
        models = [SpeedModel.constant(speed) for speed in platform.nominal_speeds]
    caps = [replica.max_batch for replica in platform.replicas]
    names = [f"replica {rank} ({replica.name})" for rank, replica in enumerate(platform.replicas)]
    return partition(models, experiment.global_batch, caps=caps, names=names)


def _time_replica(rank: int, experiment: Experiment, platform: Platform, seconds: float) -> Mapping[int, float]:
    """Time training steps of one replica without communication, while all others do the same."""
    replica = platform.replicas[rank]
    device, dtype = torch.device(replica.device), getattr(torch, experiment.dtype)
    data = load_dataset(experiment.dataset, "train", **experiment.dataset_options)
    network = build_network(experiment, data).to(device, dtype).to(memory_format=torch.channels_last)

    def loss_of(n: int) -> torch.Tensor:
        images, labels = data.gather(np.arange(n) % len(data))
        return F.cross_entropy(network(images.to(device, dtype)), labels.to(device))

    optimizer = build_optimizer(experiment, network, experiment.lr)
    sizes = batches_to_time(experiment.global_batch, len(platform), replica.max_batch)
    return _time(loss_of, SlowDown(replica.slowdown, network), optimizer, sizes, seconds, device)


def _time(
    loss_of: Callable[[int], torch.Tensor],
    slow: SlowDown,
    optimizer: torch.optim.Optimizer | None,
    sizes: Sequence[int],
    seconds: float,
    device: torch.device,
) -> Mapping[int, float]:
    def step(n: int) -> None:
        slow.start("forward", n)
        loss = loss_of(n)
        slow.settle()
        slow.start("backward", n)
        loss.backward()
        slow.settle()
        slow.start("update", n)
        if optimizer is not None:
            optimizer.step()
            optimizer.zero_grad()
        slow.settle()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    if dist.is_initialized():
        dist.barrier()
    return dict(time_step(step, sizes, seconds))
