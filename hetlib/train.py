"""The training loop on one page, for every strategy, in processes or with virtual replicas."""

import contextlib
import time
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.autograd.variable import Variable
from torch.nn.parallel import DistributedDataParallel

from .batchnorm import ALONE, convert_batchnorm, pool_batchnorm, pool_segments, segment_batchnorm
from .datasets import load_dataset
from .emulation import SlowDown
from .experiment import STRATEGIES, Experiment, learning_rate
from .gradient import replica_weights
from .images import ImageDataset
from .metrics import confusion_matrix, scores
from .models import build_model
from .platform import Platform
from .rebalance import Rebalancer
from .replicas import report
from .sampler import BalancedSampler

# renamed then
_SYNC = "forward_sync_buffers" if torch.__version__ >= "2.14" else "broadcast_buffers"
# In training nothing reads the buffers, so they are sent before an evaluation instead of at each
# step.
DDP_OPTIONS: dict[str, Any] = {_SYNC: False, "gradient_as_bucket_view": True}


@dataclass(frozen=True)
class Job:
    """What the replicas are sent: the experiment, and what was decided about it before."""

    experiment: Experiment
    platform: Platform
    shares: tuple[int, ...]
    speeds: tuple[float, ...]
    # samples of each replica's pass: a larger share is taken in several, accumulated
    most: tuple[int, ...]
    keep_weights: bool
    models: Any = None  # step model of each replica, for rebalancing


def train(rank: int | None, job: Job) -> dict[str, Any] | None:
    r"""Train one replica, or with ``rank=None`` all of them in one pass over each global batch.

    With the mean loss :math:`L_r` of n_r samples, the gradient :math:`\sum_r w_r \nabla L_r` is
    that of a sum over samples with the weights w_r / n_r. So one loop serves every strategy: a
    process sums over its own samples (times P, as DDP divides by P), the virtual replicas over
    those of all. Returns fields of `RunRecord`, time stamps ``(steps, 4)``, and weights if asked
    for; ``None`` where it stays out.
    """
    experiment = job.experiment
    # the others stay out of the training altogether
    active = [rank for rank, share in enumerate(job.shares) if share]
    group: Any = dist.new_group(active) if rank is not None and len(active) > 1 else None
    if rank is not None and rank not in active:
        return None
    norm, team = experiment.model_options.get("norm"), ALONE if group is None else group
    device = torch.device("cpu" if rank is None else job.platform.replicas[rank].device)
    position = None if rank is None else active.index(rank)  # number among the active replicas
    # DDP divides by P
    factor, most = (1, experiment.global_batch) if rank is None else (len(active), job.most[rank])
    dtype = getattr(torch, experiment.dtype)
    data = load_dataset(experiment.dataset, "train", **experiment.dataset_options)
    held_out = load_dataset(
        experiment.dataset, experiment.evaluate_split, **experiment.dataset_options
    )
    shares, speeds = [job.shares[r] for r in active], [job.speeds[r] for r in active]
    sampler = BalancedSampler(
        len(data), shares, rank=position or 0, seed=experiment.seed, shards=data.shards
    )
    for step, plan in experiment.plans:
        sampler.replan([plan[r] for r in active], step)
    caps = [job.platform.replicas[r].max_batch for r in active]
    rebalancer = (
        Rebalancer([job.models[r] for r in active], tuple(shares), caps)
        if job.models and group
        else None
    )

    torch.manual_seed(experiment.seed)  # of random layers such as dropout
    network = (
        build_network(experiment, data).to(device, dtype).to(memory_format=torch.channels_last)
    )
    if norm == "balanced":
        convert_batchnorm(network, team)
    drift = {step: factors[rank or 0] for step, factors in experiment.drift if rank is not None}
    drift.setdefault(0, 1.0 if rank is None else job.platform.replicas[rank].slowdown)
    slow = SlowDown(max(drift.values()), network)
    segments: list[int] = []
    model: Any = (
        segment_batchnorm(network, segments) if rank is None and len(active) > 1 else network
    )
    if group is not None:
        model = DistributedDataParallel(network, process_group=group, **DDP_OPTIONS)
    optimizer = build_optimizer(experiment, network, learning_rate(experiment, shares))
    steps = min(experiment.max_steps or 10**9, experiment.epochs * len(sampler))
    epochs = -(-steps // len(sampler))
    schedule = _schedule(experiment, optimizer, steps)

    stamps: list[list[float]] = []
    evaluations: list[dict[str, Any]] = []
    for epoch in range(1, epochs + 1):
        network.train()
        loss_sum = torch.zeros((), dtype=torch.float64)
        for counts, indices in islice(sampler.steps(), steps - len(stamps)):
            stamp = [time.perf_counter()]
            own = (
                slice(None)
                if position is None
                else slice(sum(counts[:position]), sum(counts[: position + 1]))
            )
            mine = indices[own]
            segments[:] = counts
            slow.factor = drift.get(len(stamps), slow.factor)
            each = replica_weights(
                counts, STRATEGIES[experiment.strategy].weighting, speeds
            ) / np.maximum(counts, 1)
            scale = torch.from_numpy(np.repeat(factor * each, counts)[own])
            *early, last = np.array_split(np.arange(len(mine)), max(-(-len(mine) // most), 1))
            total: Any = 0.0
            for part in (*early, last):
                with contextlib.nullcontext() if part is last or group is None else model.no_sync():
                    slow.start("forward", len(part))
                    images, labels = data.gather(mine[part])
                    images, labels = images.to(device, dtype), labels.to(device)
                    losses = F.cross_entropy(model(images), labels, reduction="none")
                    loss = (losses * scale[part].to(device, dtype)).sum()
                    total += losses.detach().sum()
                    slow.settle()
                    slow.start("backward", len(part))
                    if part is last:  # called when all is computed, before DDP waits for the others
                        computed = partial(note, stamp, slow, device)
                        loss.register_hook(
                            lambda _, done=computed: Variable._execution_engine.queue_callback(done)
                        )
                    loss.backward()
            stamp.append(time.perf_counter())
            if rebalancer and (changed := rebalancer.exchange(counts, stamp[1] - stamp[0], group)):
                sampler.replan(changed)
            slow.start("update", len(mine))
            optimizer.step()
            optimizer.zero_grad()
            slow.settle()
            schedule.step()
            loss_sum += total.cpu()
            stamps.append([*stamp, time.perf_counter()])
        if epoch == epochs or (
            experiment.evaluate_every and epoch % experiment.evaluate_every == 0
        ):
            if norm == "pooled":  # one of the two finds something to pool
                pool_batchnorm(network, team, samples=shares[position or 0])
                pool_segments(network, shares)
            confusion, loss_sum = _evaluate(network, held_out, loss_sum, group)
            loss_mean, scored = float(loss_sum) / len(data), scores(confusion)
            evaluations.append({"epoch": epoch, "step": len(stamps), "loss": loss_mean, **scored})
            if not position:  # the first of the active replicas, or this process alone
                name = f"{experiment.dataset} {experiment.model} {experiment.strategy} seed {experiment.seed}"
                report(
                    f"{name}: epoch {epoch}/{experiment.epochs}, loss {loss_mean:.3f}, OA {scored['oa']:.3f}"
                )
    about = {
        "checksum": data.checksum,
        "train": len(data),
        experiment.evaluate_split: len(held_out),
    }
    about |= {"classes": list(data.classes), "bands": list(data.bands), "size": data.image_shape[1]}
    plans = [
        [k, np.bincount(active, plan, len(job.shares)).astype(int).tolist()]
        for k, plan in sampler.plans
    ]
    del model  # a DDP object that outlives its process group can abort the process
    if group is not None:
        dist.barrier(group)
        dist.destroy_process_group(group)
    kept = {
        "epochs": evaluations,
        "confusion": confusion.tolist(),
        "plans": plans,
        "dataset": about,
    }
    weights = (
        {name: value.cpu().numpy() for name, value in network.state_dict().items()}
        if job.keep_weights
        else None
    )
    return kept | {"stamps": np.asarray(stamps), "weights": weights}


def build_network(experiment: Experiment, data: ImageDataset) -> nn.Module:
    shape: dict[str, Any] = {
        "bands": len(data.bands),
        "classes": len(data.classes),
        "size": data.image_shape[1],
    }
    return build_model(experiment.model, seed=experiment.seed, **shape, **experiment.model_options)


def build_optimizer(experiment: Experiment, network: nn.Module, lr: float) -> torch.optim.Optimizer:
    kind = getattr(torch.optim, experiment.optimizer)
    options = dict(experiment.optimizer_options or {}, lr=lr)
    try:
        return kind(network.parameters(), **options, fused=True)
    except (TypeError, RuntimeError):  # not every optimizer has a fused form
        return kind(network.parameters(), **options)


def _schedule(experiment: Experiment, optimizer: torch.optim.Optimizer, steps: int) -> Any:
    kinds, lr = torch.optim.lr_scheduler, optimizer.param_groups[0]["lr"]
    if experiment.schedule == "onecycle":
        return kinds.OneCycleLR(
            optimizer, lr, max(steps + 1, 6), pct_start=0.2, cycle_momentum=False
        )
    cosine = experiment.schedule == "cosine"
    return (
        kinds.CosineAnnealingLR(optimizer, steps)
        if cosine
        else kinds.ConstantLR(optimizer, factor=1.0)
    )


def note(stamps: list[float], slow: SlowDown, device: torch.device) -> None:
    """Add the time at which all that was begun is computed and paid for."""
    slow.settle()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    stamps.append(time.perf_counter())


@torch.no_grad()
def _evaluate(
    network: nn.Module, held_out: ImageDataset, loss_sum: Any, group: Any
) -> tuple[np.ndarray, torch.Tensor]:
    """Return the confusion matrix of the whole split, and the training losses of the group's replicas added up."""
    parameter, classes = next(network.parameters()), len(held_out.classes)
    part, counted = np.arange(len(held_out)), torch.zeros(classes, classes, dtype=torch.int64)
    if group is not None:
        for buffer in network.buffers():
            dist.broadcast(buffer, group_src=0, group=group)
        part = np.array_split(part, dist.get_world_size(group))[dist.get_rank(group)]
    network.eval()
    for start in range(0, len(part), 256):
        images, labels = held_out.gather(part[start : start + 256])
        predicted = network(images.to(parameter.device, parameter.dtype)).argmax(1).cpu()
        counted += confusion_matrix(labels, predicted, classes)
    if group is not None:
        total = torch.cat([counted.flatten().double(), loss_sum.reshape(1)]).to(parameter.device)
        dist.all_reduce(total, group=group)  # counts are whole numbers far below 2^53: exact
        counted, loss_sum = (
            total[:-1].round().long().reshape(classes, classes).cpu(),
            total[-1].cpu(),
        )
    return counted.numpy(), loss_sum
