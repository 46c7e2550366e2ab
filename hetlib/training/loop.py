"""The training loop on one page, for every strategy, in processes or with virtual replicas."""

import contextlib
import time
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from hetlib.balanced.accumulation import micro_batches
from hetlib.balanced.batchnorm import (
    convert_batchnorm,
    pool_batchnorm,
    pool_segments,
    segment_batchnorm,
)
from hetlib.balanced.normalize import ALONE
from hetlib.balanced.sampler import BalancedSampler
from hetlib.balanced.weights import replica_weights
from hetlib.datasets.catalog import load_dataset
from hetlib.planning.rebalance import Rebalancer
from hetlib.replicas.emulation import SlowDown, Stopwatch
from hetlib.replicas.worker import report
from hetlib.training.evaluation import evaluate, scores
from hetlib.training.setup import DDP_OPTIONS, Job, build_network, build_optimizer, build_schedule
from hetlib.training.strategies import STRATEGIES, learning_rate


def train_replica(rank: int | None, job: Job) -> dict[str, Any] | None:
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
    schedule = build_schedule(experiment, optimizer, steps)

    stamps: list[list[float]] = []
    evaluations: list[dict[str, Any]] = []
    for epoch in range(1, epochs + 1):
        network.train()
        loss_sum = torch.zeros((), dtype=torch.float64)
        for counts, indices in islice(sampler.steps(), steps - len(stamps)):
            watch = Stopwatch(slow, device)
            watch.stamp()
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
            *early, last = micro_batches(len(mine), most)
            total: Any = 0.0
            for part in (*early, last):
                with contextlib.nullcontext() if part is last or group is None else model.no_sync():
                    slow.start("forward", part.stop - part.start)
                    images, labels = data.gather(mine[part])
                    images, labels = images.to(device, dtype), labels.to(device)
                    losses = F.cross_entropy(model(images), labels, reduction="none")
                    loss = (losses * scale[part].to(device, dtype)).sum()
                    total += losses.detach().sum()
                    slow.settle()
                    slow.start("backward", part.stop - part.start)
                    if part is last:
                        watch.stamp_when_computed(loss)
                    loss.backward()
            watch.stamp()
            stamp = watch.stamps
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
            confusion, loss_sum = evaluate(network, held_out, loss_sum, group)
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
