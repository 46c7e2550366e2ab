r"""Shares that follow the replicas' speed while they train; the global batch stays as it is.

Over the last 10, 40 and 160 steps of a plan, the median :math:`f_r` of observed over modelled time scales each model.
What the plan loses to the best one, taken to go with :math:`1 / \sum_r (s_r / f_r)` (speeds s_r), less a dead band, has
to add up to the cost of a change: a slow phase below half a window is sat out. The later half gives the new shares and
has to confirm half of that; it alone decides on going back to the plan before, once, at a quarter of the cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from .partition import partition
from .sampler import deal
from .speed import SpeedModel

MESSAGE, WINDOWS = 5, (10, 40, 160)  # steps that the replicas tell each other about at a time; steps that are judged


@dataclass
class Rebalancer:
    """Decides every five steps whether other shares are worth a change; every replica has one and all decide alike."""

    models: Sequence[SpeedModel]  # step model of each replica
    shares: tuple[int, ...]  # local batches, each >= 1
    caps: Sequence[int | None] | None = None  # most samples of each replica
    band: float = 0.05  # loss a step not worth a change, in compute phases of the best plan at the usual speeds
    cost: float = 10.0  # of a change, in such phases; a quarter of it to go back to the plan before

    def __post_init__(self) -> None:
        if len(self.models) != len(self.shares) or min(self.shares, default=0) < 1:
            raise ValueError(f"`shares` is {self.shares}; allowed is one >= 1 for each of {len(self.models)} models.")
        self._time = lru_cache(lambda *n: np.array([[*map(SpeedModel.time, self.models, k)] for k in np.maximum(n, 1)]))
        self._speeds = 1 / self._time((sum(self.shares),) * len(self.shares))[0]
        self._best(np.ones(len(self.shares)))
        self._own, self._sent = list[Any](), tuple[Any, ...]()
        self._ratios, self._before = np.empty((0, len(self.shares))), tuple[int, ...]()  # observed / modelled seconds

    def observe(self, counts: Sequence[tuple[int, ...]], seconds: Any) -> tuple[int, ...] | None:
        """Take in a message, samples and compute seconds ``(steps, replicas)``; return new shares where they pay."""
        past = self._ratios if len(self._ratios) < 2 * WINDOWS[-1] else self._ratios[-WINDOWS[-1] :]
        self._ratios = np.concatenate([past, seconds / self._time(*counts)])
        phase = self._work / (self._speeds / np.sort(self._ratios[::MESSAGE], axis=0)[len(self._ratios) // 10]).sum()
        for window in (w for w in WINDOWS if len(self._ratios) >= w and len(self._ratios) % (w // 2) == 0):
            whole, late = (np.sort(self._ratios[-steps:], axis=0)[steps // 2] for steps in (window, window // 2))
            now, least, cost = self._time(self.shares), self.band * phase, self.cost * phase / window
            if self._before and (late * now).max() - (late * self._time(self._before)).max() > least + cost / 4:
                return self._begin(self._before, ())
            if (whole * now).max() - self._work / (self._speeds / whole).sum() > least + cost:
                shares = self._best(late)
                if (late * now).max() - (late * self._time(shares)).max() > least + cost / 2:
                    return self._begin(shares, self.shares)
        return None

    def _begin(self, shares: tuple[int, ...], before: tuple[int, ...]) -> tuple[int, ...]:
        self.shares, self._before, self._ratios = shares, before, self._ratios[:0]
        return shares

    def _best(self, factors: np.ndarray) -> tuple[int, ...]:
        plan = partition([*map(SpeedModel.slowed, self.models, factors.tolist())], sum(self.shares), caps=self.caps)
        self._work = plan.step * (self._speeds / factors).sum()
        return deal(plan.global_batch, [max(n, 1) for n in plan.shares])  # no work would show no recovery

    def exchange(self, counts: Sequence[int], seconds: float, group: Any = None) -> tuple[int, ...] | None:
        """After a backward pass: note the seconds computed, send them every fifth time, `observe` all the next time."""
        self._own.append((tuple(counts), seconds))
        if len(self._own) == 1 and self._sent:
            self._sent[2].wait()
            return self.observe(self._sent[0], self._sent[1].numpy(force=True))
        if len(self._own) == MESSAGE:
            (steps, own), every = zip(*self._own, strict=True), np.zeros((MESSAGE, len(counts)))
            every[:, dist.get_rank(group)] = own
            sent = torch.from_numpy(every).to({"nccl": "cuda"}.get(dist.get_backend(group), "cpu"))
            everyone: Any = group or dist.group.WORLD  # called directly: dist.all_reduce takes longer
            self._sent, self._own = (steps, sent, everyone.allreduce([sent])), []
        return None
