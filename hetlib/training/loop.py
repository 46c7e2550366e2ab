r"""The training loop on one page, for every strategy, in processes or with virtual replicas.

With the mean loss :math:`L_r` of n_r samples, the gradient :math:`\sum_r w_r \nabla L_r` is that of
a sum over samples with the weights w_r / n_r. So one loop serves every strategy: a process sums
over its own samples (times P, as DDP divides by P), the virtual replicas over those of all.
"""

import contextlib
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from hetlib.balanced.accumulation import micro_batches
from hetlib.balanced.loss import weigh
from hetlib.balanced.pooling import pool_batchnorm
from hetlib.balanced.segmented import pool_segments
from hetlib.replicas.emulation import Stopwatch
from hetlib.replicas.worker import report
from hetlib.training.evaluation import evaluate, scores
from hetlib.training.history import History, result_of, weights_of
from hetlib.training.place import take_place
from hetlib.training.setup import Job
from hetlib.training.strategies import STRATEGIES
from hetlib.training.trainee import Trainee, prepare


class Step(NamedTuple):
    """What a step leaves behind.

    Attributes:
        loss: Sum over this process's samples, on the CPU.
        stamps: Seconds at which it began, had computed, had exchanged and had updated.
    """

    loss: torch.Tensor
    stamps: list[float]


class Trained(NamedTuple):
    """What an epoch, or the part of it that was trained, leaves behind.

    Attributes:
        loss: Sum over this process's samples, float64.
        samples: Of all replicas.
    """

    loss: torch.Tensor
    samples: int


def train_replica(rank: int | None, job: Job) -> dict[str, Any] | None:
    """Train one replica, or with ``rank=None`` all of them in one pass over each global batch.

    Args:
        rank: Number of the replica; None: all of them, virtual.
        job: What is to be trained.

    Returns:
        Fields of `RunRecord`, time stamps ``(steps, 4)``, and weights if asked for; None where the
        replica has no share and stays out.
    """
    place = take_place(rank, job.assignment.active)
    if place is None:
        return None
    trainee = prepare(job, place)

    history = History()
    for epoch in range(1, trainee.epochs + 1):
        trained = train_epoch(trainee, history, epoch - 1)
        if is_evaluated(trainee, epoch):
            assess(trainee, history, epoch, trained)

    result = result_of(trainee, history, replicas=len(job.platform))
    result["weights"] = None
    if job.keep_weights:
        result["weights"] = weights_of(trainee)
    trainee.leave()
    return result


def train_epoch(trainee: Trainee, history: History, epoch: int) -> Trained:
    """Train for one epoch, or what is left of the training.

    Args:
        trainee: What is trained.
        history: Gets the time stamps.
        epoch: Its number, from 0.

    Returns:
        Its losses and samples.
    """
    trainee.network.train()
    trainee.epoch = epoch
    loss_sum = torch.zeros((), dtype=torch.float64)
    samples = 0
    left = trainee.steps - len(history.stamps)
    for counts, indices in islice(trainee.sampler.steps(epoch), left):
        step = train_step(trainee, len(history.stamps), counts, indices)
        loss_sum += step.loss
        samples += sum(counts)
        history.stamps.append(step.stamps)
    return Trained(loss_sum, samples)


def train_step(trainee: Trainee, number: int, counts: tuple[int, ...], indices: np.ndarray) -> Step:
    """Train on one global batch: deal, weigh, accumulate, update.

    Args:
        trainee: What is trained.
        number: Of the step, from 0.
        counts: Samples of each active replica.
        indices: Of all samples of the global batch, ``(n,)``.

    Returns:
        Its loss and time stamps.
    """
    watch = Stopwatch(trainee.slow, trainee.device)
    watch.stamp()
    own = trainee.place.own(counts)
    mine = indices[own]
    trainee.segments[:] = counts
    trainee.slow.factor = trainee.drift.get(number, trainee.slow.factor)

    weights = sample_weights(trainee, counts)[own]
    loss = accumulate(trainee, mine, weights, watch)
    watch.settled()  # where a GPU only queues the exchange, it would be taken for the update
    follow_speeds(trainee, number, counts, watch.stamps[1] - watch.stamps[0])

    update(trainee, len(mine))
    loss = loss.cpu()  # waits for a GPU
    return Step(loss, [*watch.stamps, time.perf_counter()])


def sample_weights(trainee: Trainee, counts: Sequence[int]) -> np.ndarray:
    r"""Return what each sample's loss is multiplied by, :math:`w_r / n_r`, times P under DDP.

    Args:
        trainee: Whose strategy weighs.
        counts: Samples of each active replica, n_r.

    Returns:
        Weights of all samples of the global batch, float64 ``(n,)``.
    """
    strategy = STRATEGIES[trainee.experiment.strategy]
    weights = strategy.weights(counts, trainee.speeds)
    each = weights / np.maximum(counts, 1)
    return np.repeat(trainee.place.averaged * each, counts)


def accumulate(
    trainee: Trainee, mine: np.ndarray, weights: np.ndarray, watch: Stopwatch
) -> torch.Tensor:
    """Add up the gradient of this process's samples, in as many passes as fit.

    Args:
        trainee: What is trained.
        mine: Indices of the samples.
        weights: Of the samples.
        watch: Notes the end of the computing, before the wait for the others.

    Returns:
        Sum of the samples' losses, unweighted.
    """
    scale = torch.from_numpy(weights)
    *early, last = micro_batches(len(mine), trainee.most)
    losses = []
    for part in early:
        with unsynchronised(trainee):
            losses.append(backpropagate(trainee, mine[part], scale[part]))
    losses.append(backpropagate(trainee, mine[last], scale[last], watch))
    return sum(losses[1:], start=losses[0])


def unsynchronised(trainee: Trainee) -> AbstractContextManager[None]:
    """Return a context in which gradients are added up here and not exchanged."""
    if isinstance(trainee.model, DistributedDataParallel):
        return trainee.model.no_sync()
    return contextlib.nullcontext()


def backpropagate(
    trainee: Trainee, chosen: np.ndarray, scale: torch.Tensor, watch: Stopwatch | None = None
) -> torch.Tensor:
    """Add the gradient of one pass.

    Args:
        trainee: What is trained.
        chosen: Indices of the pass's samples.
        scale: Their weights, float64.
        watch: In the last pass, notes the end of the computing.

    Returns:
        Sum of the samples' losses, unweighted.
    """
    device = trainee.device
    dtype = trainee.experiment.torch_dtype
    trainee.slow.start("forward", len(chosen))
    images, labels = trainee.read(chosen)
    images = images.to(device, dtype)
    labels = labels.to(device)
    losses = F.cross_entropy(trainee.model(images), labels, reduction="none")
    loss = weigh(losses, scale).sum()
    loss_sum = losses.detach().sum()
    trainee.slow.settle()

    trainee.slow.start("backward", len(chosen))
    if watch is not None:
        watch.stamp_when_computed(loss)
    loss.backward()
    # the last pass was settled before it waited for the others
    trainee.slow.settle()
    return loss_sum


def follow_speeds(trainee: Trainee, number: int, counts: tuple[int, ...], seconds: float) -> None:
    """Let the rebalancer, where there is one, see a step and move the shares behind it.

    Args:
        trainee: What is trained.
        number: Of the step, from 0.
        counts: Samples of each active replica.
        seconds: That this replica computed.
    """
    if trainee.rebalancer is None:
        return
    changed = trainee.rebalancer.exchange(counts, seconds, trainee.place.group)
    if changed:
        trainee.sampler.replan(changed, number + 1)


def update(trainee: Trainee, samples: int) -> None:
    """Update the network and move the learning rate.

    Args:
        trainee: What is trained.
        samples: Of this process in the step, by which the emulation keeps its clocks.
    """
    trainee.slow.start("update", samples)
    trainee.optimizer.step()
    trainee.optimizer.zero_grad()
    trainee.slow.settle()
    trainee.schedule.step()


def is_evaluated(trainee: Trainee, epoch: int) -> bool:
    """Say whether an epoch ends with an evaluation; the last one does."""
    every = trainee.experiment.evaluate_every
    if epoch == trainee.epochs:
        return True
    return every > 0 and epoch % every == 0


def pool_statistics(trainee: Trainee, number: int) -> None:
    """Give all replicas the running statistics of all samples.

    The shares of the last step are the weights: running statistics are of the latest steps.

    Args:
        trainee: Whose BatchNorm layers each followed the samples of one replica.
        number: Of the step trained last, from 0.
    """
    place = trainee.place
    shares = trainee.sampler.shares_at(number)
    if place.group is None:
        pool_segments(trainee.network, shares)
        return
    pool_batchnorm(trainee.network, place.group, samples=shares[place.position or 0])


def assess(trainee: Trainee, history: History, epoch: int, trained: Trained) -> None:
    """Evaluate the network, note and report its scores.

    Args:
        trainee: What is trained.
        history: Gets the evaluation.
        epoch: Number of the epoch, from 1.
        trained: What the epoch left behind.
    """
    experiment = trainee.experiment
    place = trainee.place
    step = len(history.stamps)
    if experiment.norm == "pooled":
        pool_statistics(trainee, step - 1)
    confusion, loss_of_all = evaluate(trainee.network, trainee.held_out, trained.loss, place.group)
    loss_mean = float(loss_of_all) / trained.samples
    scored = scores(confusion)

    history.confusion = confusion
    history.evaluations.append({"epoch": epoch, "step": step, "loss": loss_mean, **scored})
    if place.leads:
        about = f"{experiment.data_name} {experiment.model_name} {experiment.strategy}"
        report(
            f"{about} seed {experiment.seed}: epoch {epoch}/{experiment.epochs}, "
            f"loss {loss_mean:.3f}, OA {scored['oa']:.3f}"
        )
