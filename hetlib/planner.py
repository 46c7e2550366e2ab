"""From a clock to a plan: time a model on every replica at once, then real steps of the few plans that may win."""

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.utils._pytree import tree_map

from .batchnorm import BalancedBatchNorm
from .cache import fingerprint
from .checks import differentiable
from .datasets import load_dataset
from .experiment import Experiment, check_accumulation
from .partition import Partition, left_out, partition
from .platform import Platform, Replica
from .progress import spending
from .race import WORTH, Task, capped, curve, gather, race
from .records import environment
from .replicas import Replicas
from .speed import SpeedModel, spread
from .train import DDP_OPTIONS, build_network, build_optimizer

_HOPE = 1.25  # a plan whose modelled step is so many times that of the best is not tried


def plan(
    model: nn.Module,
    example_batch: Any,
    *,
    global_batch: int,
    seconds: float = 10,
    accumulate: bool = False,
    store: Path | str | None = None,
    progress: bool | None = None,
    **replica: Any,
) -> Partition:
    """Plan a job of one's own: every rank times itself, all ranks get the same plan.

    Times SGD steps of copies of the model, on all ranks at once, alone and then under DDP. Every
    rank has to call it.

    Args:
        model: The model on this rank's device, not yet wrapped in DDP.
        example_batch: Its inputs, a tensor or a tuple of them, ``(n, ...)`` with any n >= 1, on the
            same device.
        global_batch: Samples a step over all replicas.
        seconds: Budget of the timing; each plan that may win takes three to seven steps in any
            case.
        accumulate: Shares may exceed what fits: rank r takes its own in ``plan.passes[r]`` parts,
            under ``no_sync``.
        store: Folder of plans on rank 0's machine. One of the same model, shapes, replicas and
            versions is used again.
        progress: Whether rank 0 shows a bar; by default on a terminal and in a notebook that is no
            batch run.
        replica: More about this rank, as for `Replica`: ``max_batch`` (by default what fits),
            ``multiple``.
    """
    if accumulate and any(isinstance(layer, BalancedBatchNorm) for layer in model.modules()):
        raise ValueError(
            "`accumulate` is True for a model with BalancedBatchNorm; allowed: False, or another norm."
        )
    inputs = example_batch if isinstance(example_batch, tuple) else (example_batch,)

    def loss_of(network: nn.Module, n: int) -> torch.Tensor:
        batch = tree_map(lambda x: x[torch.arange(n, device=x.device) % len(x)], inputs)
        return torch.stack(
            [o.float().square().mean() for o in differentiable(network(*batch))]
        ).sum()

    own = Replica(
        device=str(next(model.parameters()).device),
        **{"threads": torch.get_num_threads()} | replica,
    )
    sizes = [[name, w.shape, str(w.dtype), w.requires_grad] for name, w in model.named_parameters()]
    known = [
        str(model),
        sizes,
        str(tree_map(lambda x: (x.shape, x.dtype), inputs)),
        asdict(own),
        environment(),
    ]
    name = fingerprint([global_batch, accumulate, gather(known)])[:16]
    path, stored = store and Path(store, f"{name}.json"), None
    # no plan, or one of another version
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
        content = json.loads(path.read_text() if path else "{}")
        fields: Any = {
            field: tuple(x) if isinstance(x, list) else x for field, x in content.items()
        }
        stored = Partition(**fields)
    if stored := gather(stored)[0]:
        return stored
    task = Task(
        own,
        model,
        loss_of,
        lambda network: torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9),
    )
    leads = not (dist.is_initialized() and dist.get_rank())
    with spending("planning", seconds, progress if leads else False):
        found = _decide(capped(task), global_batch, seconds, accumulate=accumulate)
    if path and leads:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(found)))
    return found


def measure(
    experiment: Experiment, replicas: Replicas, *, seconds: float = 10, progress: bool | None = None
) -> list[SpeedModel]:
    """Measure the step of an experiment's model on every replica, all at the same time, in at most ``seconds``."""
    with spending("measuring", seconds, progress):
        return replicas.run(_on_replica, experiment, replicas.platform, curve, seconds)


def plan_experiment(
    experiment: Experiment,
    replicas: Any,
    *,
    seconds: float = 10,
    keep_all: bool = False,
    accumulate: bool = False,
    progress: bool | None = None,
) -> Partition:
    """Choose an experiment's shares by speed, as `plan` does: measured for processes, nominal for virtual replicas."""
    if accumulate:
        check_accumulation(experiment)
    if isinstance(replicas, Replicas):
        with spending("planning", seconds, progress):
            return replicas.run(
                _on_replica, experiment, replicas.platform, _decide, seconds, keep_all, accumulate
            )[0]
    models = [SpeedModel.constant(speed) for speed in replicas.platform.nominal_speeds]
    limits = _limits(replicas.platform.replicas) | ({"caps": None} if accumulate else {})
    return partition(
        models,
        experiment.global_batch,
        active=(len(models) if keep_all else 1, len(models)),
        **limits,
    )


def _limits(replicas: Sequence[Replica]) -> dict[str, Any]:
    names = [f"replica {rank} ({replica.name})" for rank, replica in enumerate(replicas)]
    return {
        "caps": [r.max_batch for r in replicas],
        "multiples": [r.multiple for r in replicas],
        "names": names,
    }


def _on_replica(
    rank: int, experiment: Experiment, platform: Platform, function: Callable[..., Any], *more: Any
) -> Any:
    """Call ``function(task, global_batch, *more)`` for this replica's part of an experiment."""
    device, dtype = torch.device(platform.replicas[rank].device), getattr(torch, experiment.dtype)
    data = load_dataset(experiment.dataset, "train", **experiment.dataset_options)
    network = (
        build_network(experiment, data).to(device, dtype).to(memory_format=torch.channels_last)
    )

    def loss_of(network: nn.Module, n: int) -> torch.Tensor:
        images, labels = data.gather(np.arange(n) % len(data))
        return nn.functional.cross_entropy(network(images.to(device, dtype)), labels.to(device))

    task = Task(
        platform.replicas[rank],
        network,
        loss_of,
        lambda n: build_optimizer(experiment, n, 0.0),
        DDP_OPTIONS,
    )
    return function(capped(task), experiment.global_batch, *more)


def _decide(
    task: Task, batch: int, seconds: float, keep_all: bool = False, accumulate: bool = False
) -> Partition:
    """Return one plan for all ranks: candidates from curves, the choice from the clock."""
    curves, replicas = zip(*gather((curve(task, batch, seconds / 2), task.replica)), strict=True)
    limits, caps = _limits(replicas), [r.max_batch or batch for r in replicas]
    if accumulate:
        curves, limits["caps"] = tuple(map(SpeedModel.repeated, curves, caps, repeat(batch))), None
    count, models = len(replicas), list(curves)
    # Replicas share a machine's memory, and gradients take time to exchange: a helper can cost more
    # than it gives.
    few = [] if keep_all else [(k, k) for k in sorted({1, 2, (count + 1) // 2, count})]
    # of active replicas: as the curves say, and a few to try
    numbers = [(count if keep_all else 1, count), *few]
    first = partition(curves, batch, active=numbers[0], **limits)
    if count == 1:
        return replace(first, passes=(-(-batch // caps[0]),))
    exposed = {1: 0.0}  # seconds that the exchange adds to a step, by number of active replicas
    for budget, most in ((0.2 * seconds, 3), (0.3 * seconds, 7)):
        known, rising = (
            sorted(exposed),
            np.maximum.accumulate([exposed[k] for k in sorted(exposed)]),
        )
        limits["communication"] = lambda k, x=known, y=rising: float(np.interp(k, x, y))
        found = []
        for active in numbers:
            # so few replicas cannot take the batch, or so many have no work
            with contextlib.suppress(ValueError):
                found.append(partition(models, batch, active=active, **limits))
        plans = {
            plan.shares: plan
            for plan in found
            if plan.step < _HOPE * min(other.step for other in found)
        }
        taken = race(task, plans, budget, most)  # (ranks, steps, 2) of each
        seen = {shares: times[..., 0].max(0) for shares, times in taken.items()}
        computes = {
            shares: np.median(times[..., 1], axis=1).tolist() for shares, times in taken.items()
        }
        # a replica's speed is that beside the most others
        for shares in sorted(plans, key=np.count_nonzero):
            exposed[int(np.count_nonzero(shares))] = float(np.median(seen[shares])) - max(
                computes[shares]
            )
            for r in np.flatnonzero(shares):
                models[r] = curves[r].slowed(computes[shares][r] / curves[r].time(shares[r]))
    steps = {shares: float(np.median(times)) for shares, times in seen.items()}
    # Those that stood aside have fewer steps; of the others each step has its rival in the same
    # turn.
    last = [shares for shares in plans if len(seen[shares]) == max(map(len, seen.values()))]
    best = seen[min(last, key=steps.__getitem__)]
    chosen = next(
        k for k in sorted(last, key=np.count_nonzero) if np.median(seen[k] / best) < 1 + WORTH
    )
    step, compute, reasons = steps[chosen], computes[chosen], list(plans[chosen].reasons)
    for r in np.flatnonzero(np.equal(chosen, 0)):
        if rivals := [steps[shares] for shares in plans if shares[r]]:
            reasons[r] = left_out(first.names[r], min(rivals), step, "measured")
    alone = min(
        (steps[shares] for shares in plans if np.count_nonzero(shares) == 1),
        default=first.alone_step,
    )
    passes = tuple(max(-(-n // cap), 1) for n, cap in zip(chosen, caps, strict=True))
    plan = replace(
        plans[chosen],
        compute=tuple(compute),
        communication=max(step - max(compute), 0.0),
        times="measured",
    )
    return replace(
        plan,
        alone_step=alone,
        reasons=tuple(reasons),
        passes=passes,
        uncertainty=spread(seen[chosen]),
    )
