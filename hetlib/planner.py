"""From a clock to a plan: time a model on every replica at once, then real steps of the few plans that may win.

Replicas of one machine share its memory, and gradients take time to exchange: a helper can cost more than it gives.
"""

import contextlib
import copy
import gc
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.autograd.variable import Variable
from torch.utils._pytree import tree_map

from .batchnorm import ALONE, BalancedBatchNorm
from .checks import differentiable
from .datasets import load_dataset
from .emulation import SlowDown
from .experiment import Experiment
from .memory import LossOf, fitting_batch
from .partition import Partition, left_out, partition
from .platform import Platform, Replica
from .replicas import Replicas
from .speed import SpeedModel, batches_to_time, spread, time_step
from .train import build_network, build_optimizer

_WORTH = 0.02  # relative gain of a step below which further replicas are left out
_HOPE = 1.25  # a plan whose modelled step is so many times that of the best is not tried
Shares = tuple[int, ...]


class _Task(NamedTuple):
    """What a replica times."""

    replica: Replica
    network: nn.Module
    loss_of: LossOf
    optimizer_of: Callable[[nn.Module], torch.optim.Optimizer]


def plan(model: nn.Module, example_batch: Any, *, global_batch: int, seconds: float = 4, **replica: Any) -> Partition:
    """Plan a job of one's own: every rank times itself, all ranks get the same plan.

    Times training steps of copies of the model, with an SGD update: on all ranks at once without communication,
    then under DDP. Every rank has to call it.

    Args:
        model: The model on this rank's device, not yet wrapped in DDP.
        example_batch: Its inputs, a tensor or a tuple of them, ``(n, ...)`` with any n >= 1, on the same device.
        global_batch: Samples a step over all replicas.
        seconds: Budget of the timing; each plan that may win is timed for three steps whatever they take.
        replica: More about this rank, as for `Replica`: ``max_batch`` (by default what fits), ``multiple``.
    """
    inputs = example_batch if isinstance(example_batch, tuple) else (example_batch,)

    def loss_of(network: nn.Module, n: int) -> torch.Tensor:
        batch = tree_map(lambda x: x[torch.arange(n, device=x.device) % len(x)], inputs)
        return torch.stack([o.float().square().mean() for o in differentiable(network(*batch))]).sum()

    own = Replica(device=str(next(model.parameters()).device), **replica)
    task = _Task(own, model, loss_of, lambda network: torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9))
    return _decide(_capped(task), global_batch, seconds)


def measure(experiment: Experiment, replicas: Replicas, *, seconds: float = 4) -> list[SpeedModel]:
    """Measure the step of an experiment's model on every replica, all at the same time, in about ``seconds``."""
    return replicas.run(_on_replica, experiment, replicas.platform, _curve, seconds)


def plan_experiment(experiment: Experiment, replicas: Any, *, seconds: float = 4, keep_all: bool = False) -> Partition:
    """Choose an experiment's shares by speed: measured for processes, nominal for virtual replicas."""
    if isinstance(replicas, Replicas):
        return replicas.run(_on_replica, experiment, replicas.platform, _decide, seconds, keep_all)[0]
    models = [SpeedModel.constant(speed) for speed in replicas.platform.nominal_speeds]
    active = (len(models) if keep_all else 1, len(models))
    return partition(models, experiment.global_batch, active=active, **_limits(replicas.platform.replicas))


def _limits(replicas: Sequence[Replica]) -> dict[str, Any]:
    names = [f"replica {rank} ({replica.name})" for rank, replica in enumerate(replicas)]
    return {"caps": [r.max_batch for r in replicas], "multiples": [r.multiple for r in replicas], "names": names}


def _on_replica(rank: int, experiment: Experiment, platform: Platform, function: Callable[..., Any], *more: Any) -> Any:
    """Call ``function(task, global_batch, *more)`` for this replica's part of an experiment."""
    device, dtype = torch.device(platform.replicas[rank].device), getattr(torch, experiment.dtype)
    data = load_dataset(experiment.dataset, "train", **experiment.dataset_options)
    network = build_network(experiment, data).to(device, dtype).to(memory_format=torch.channels_last)

    def loss_of(network: nn.Module, n: int) -> torch.Tensor:
        images, labels = data.gather(np.arange(n) % len(data))
        return nn.functional.cross_entropy(network(images.to(device, dtype)), labels.to(device))

    task = _Task(platform.replicas[rank], network, loss_of, lambda network: build_optimizer(experiment, network, 0.0))
    return function(_capped(task), experiment.global_batch, *more)


def _capped(task: _Task) -> _Task:
    """Return the task with a cap on its batch: the one given, or what fits into the memory that is free now."""
    place = platform.node(), task.replica.device
    sharing = _gather(place).count(place)
    if task.replica.max_batch is not None:
        return task
    fitting = fitting_batch(_alone(task.network), task.loss_of, torch.device(task.replica.device), sharing)
    return task._replace(replica=replace(task.replica, max_batch=fitting))


def _alone(network: nn.Module, group: Any = ALONE) -> nn.Module:
    """Return a copy in training mode whose synchronised layers reduce over ``group``, by default with nobody."""
    network = copy.deepcopy(network).train()
    for layer in network.modules():
        if isinstance(layer, BalancedBatchNorm):
            layer.process_group = group
    return network


def _gather(item: Any) -> list[Any]:
    """Return every rank's item; a barrier too."""
    items = [item] * (dist.get_world_size() if dist.is_initialized() else 1)
    if len(items) > 1:
        dist.all_gather_object(items, item)
    return items


def _stepper(task: _Task, group: Any = ALONE) -> Callable[[int], tuple[float, float]]:
    """Return a training step of a copy of the network on n samples; it returns its seconds and those of compute."""
    network = _alone(task.network, group)
    slow, optimizer = SlowDown(task.replica.slowdown, network), task.optimizer_of(network)
    model = network if group is ALONE else nn.parallel.DistributedDataParallel(network, process_group=group)

    def now() -> float:
        slow.settle()
        if task.replica.device != "cpu":
            torch.cuda.synchronize(task.replica.device)
        return time.perf_counter()

    def step(n: int) -> tuple[float, float]:
        begin, ready = now(), [0.0]
        slow.start("forward", n)
        loss = task.loss_of(model, n)
        slow.settle()
        slow.start("backward", n)
        # Queued before DDP's own callback, which waits for the others' gradients.
        loss.register_hook(lambda _: Variable._execution_engine.queue_callback(lambda: ready.append(now())))
        loss.backward()
        waited = now() - ready[-1]
        slow.start("update", n)
        optimizer.step()
        optimizer.zero_grad()
        taken = now() - begin
        return taken, taken - waited

    return step


def _curve(task: _Task, global_batch: int, seconds: float) -> SpeedModel:
    """Time this rank's steps without communication while all others time theirs, until all are sure or time is up."""
    step, taken = _stepper(task), dict[int, list[float]]()
    sizes = batches_to_time(global_batch, len(_gather(None)), task.replica.max_batch)
    for _ in range(4):
        time_step(lambda n: step(n)[0], sizes, seconds / 4, taken)
        if max(_gather(max(map(spread, taken.values())))) < 0.005:
            break
    return SpeedModel.measured(taken)


def _race(task: _Task, plans: Iterable[Shares], seconds: float) -> dict[Shares, tuple[np.ndarray, list[float]]]:
    """Time real steps of each plan in turns; return its seconds, ``(steps,)``, and the median compute of each rank."""
    rank = dist.get_rank()
    groups = [dist.new_group(np.flatnonzero(n).tolist()) if np.count_nonzero(n) > 1 else ALONE for n in plans]
    steps = [_stepper(task, group) if shares[rank] else None for shares, group in zip(plans, groups, strict=True)]
    taken: list[list[tuple[float, float]]] = [[] for _ in plans]
    begin, turns, elapsed, block = time.perf_counter(), 0, 0.0, 1
    while turns < 3 or elapsed < seconds:
        for shares, step, own in zip(plans, steps, taken, strict=True):
            _gather(None)  # whoever stays out of a plan is idle until its steps are done
            found = [step(shares[rank]) if step else (0.0, 0.0) for _ in range(block)]
            own.extend(found[block // 4 :])  # the first of four finds the caches as another plan left them
        turns, elapsed = turns + 1, max(_gather(time.perf_counter() - begin))
        block = 4 if 12 * elapsed < seconds * turns else block
    times = np.array(_gather(taken))  # (ranks, plans, steps, 2)
    del steps, step
    gc.collect()  # a DDP object that outlives its process group can abort the process
    for group in groups:
        dist.destroy_process_group(group)
    computes = np.median(times[..., 1], axis=2).T.tolist()
    return dict(zip(plans, zip(times[..., 0].max(0), computes, strict=True), strict=True))


def _decide(task: _Task, global_batch: int, seconds: float, keep_all: bool = False) -> Partition:
    """Return one plan for all ranks: candidates from curves, the choice from the clock."""
    curves, replicas = zip(*_gather((_curve(task, global_batch, seconds / 2), task.replica)), strict=True)
    limits, count, models = _limits(replicas), len(replicas), list(curves)
    few = [] if keep_all else [(k, k) for k in sorted({1, 2, (count + 1) // 2, count})]
    numbers = [(count if keep_all else 1, count), *few]  # of active replicas: as the curves say, and a few to try
    first = partition(curves, global_batch, active=numbers[0], **limits)
    if count == 1:
        return first
    exposed: dict[int, float] = {}  # seconds that the exchange adds to a step, by number of active replicas
    for budget in (0.2 * seconds, 0.3 * seconds):
        known = sorted(exposed)
        rising = np.maximum.accumulate([exposed[k] for k in known])
        limits["communication"] = lambda k, x=known, y=rising: float(np.interp(k, x, y)) if x else 0.0
        found = []
        for active in numbers:
            with contextlib.suppress(ValueError):  # so few replicas cannot take the batch, or so many have no work
                found.append(partition(models, global_batch, active=active, **limits))
        plans = {plan.shares: plan for plan in found if plan.step < _HOPE * min(other.step for other in found)}
        timed = _race(task, plans, budget)
        for shares in sorted(plans, key=np.count_nonzero):  # a replica's speed is that beside the most others
            seen, compute = timed[shares]
            exposed[int(np.count_nonzero(shares))] = float(np.median(seen)) - max(compute)
            for r in np.flatnonzero(shares):
                models[r] = curves[r].slowed(compute[r] / curves[r].time(shares[r]))
    steps = {shares: float(np.median(seen)) for shares, (seen, _) in timed.items()}
    fewest_first, best = sorted(steps, key=np.count_nonzero), timed[min(steps, key=steps.__getitem__)][0]
    chosen = next(shares for shares in fewest_first if np.median(timed[shares][0] / best) < 1 + _WORTH)
    step, (seen, compute), reasons = steps[chosen], timed[chosen], list(plans[chosen].reasons)
    for r in np.flatnonzero(np.equal(chosen, 0)):
        if rivals := [steps[shares] for shares in plans if shares[r]]:
            reasons[r] = left_out(first.names[r], min(rivals), step, "measured")
    alone = min((steps[shares] for shares in plans if np.count_nonzero(shares) == 1), default=first.alone_step)
    plan = replace(plans[chosen], compute=tuple(compute), communication=max(step - max(compute), 0.0), times="measured")
    return replace(plan, alone_step=alone, reasons=tuple(reasons), uncertainty=spread(seen.tolist()))
