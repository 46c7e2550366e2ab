"""Training steps against the clock: of one replica beside all others, and of whole plans in turns."""

import gc
import time
from collections.abc import Iterable

import numpy as np
import torch.distributed as dist

from hetlib.balanced.normalize import ALONE
from hetlib.planning.timing import Task, alone, gather, stepper

Shares = tuple[int, ...]


WORTH = 0.02  # relative gain of a step below which further replicas are left out


def race(
    task: Task, plans: Iterable[Shares], seconds: float, most: int = 3
) -> dict[Shares, np.ndarray]:
    """Time real steps of plans in turns; return the seconds of each step and of its compute, ``(ranks, steps, 2)``.

    Whatever the budget, each plan takes three steps, and those that have been near the fastest take
    ``most``.
    """
    rank, taken = dist.get_rank(), {shares: list[np.ndarray]() for shares in plans}
    groups = {
        n: dist.new_group(np.flatnonzero(n).tolist()) if np.count_nonzero(n) > 1 else ALONE
        for n in plans
    }
    probe = alone(task.network)
    task.loss_of(probe, 2).backward()
    unused = any(gather(any(w.requires_grad and w.grad is None for w in probe.parameters())))
    steps = {
        n: stepper(task, g, find_unused_parameters=unused) if n[rank] else None
        for n, g in groups.items()
    }
    # one budget for all
    seconds, begin, turns, elapsed, block = max(gather(seconds)), time.perf_counter(), 0, 0.0, 1
    while turns < 4 or elapsed < seconds or (len(steps) > 1 and turns <= most):
        found: dict[Shares, list[tuple[float, float]]] = {}
        for shares, step in steps.items():
            gather(None)  # whoever stays out of a plan is idle until its steps are done
            found[shares] = [step(shares[rank]) if step else (0.0, 0.0) for _ in range(block)]
        spent, results = zip(*gather((time.perf_counter() - begin, found)), strict=True)
        # in the first turn memory is new, in the first of four steps caches cold
        for shares in steps if turns else ():
            taken[shares].append(np.array([result[shares][block // 4 :] for result in results]))
        turns, elapsed = turns + 1, max(spent)
        block = 4 if 12 * elapsed < seconds * turns else block
        if turns > 3 and elapsed > seconds:
            seen = {
                shares: np.concatenate(taken[shares], axis=1)[..., 0].max(0) for shares in steps
            }
            near = (1 + WORTH) * min(map(np.median, seen.values()))
            steps = {
                shares: step
                for shares, step in steps.items()
                if np.quantile(seen[shares], 0.1) <= near
            }
    steps, step = {}, None
    gc.collect()  # a DDP object that outlives its process group can abort the process
    for group in groups.values():
        dist.destroy_process_group(group)
    return {shares: np.concatenate(times, axis=1) for shares, times in taken.items()}
