r"""Shares that follow the replicas' speed while they train; the global batch stays as it is.

The median :math:`f_r` of observed over modelled time in a few steps scales each step model. What a step loses to the
best one, taken to go with :math:`1 / \sum_r (s_r / f_r)` (speeds s_r), beyond a dead band adds up until a change pays.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from .partition import partition
from .sampler import deal
from .speed import SpeedModel


@dataclass
class Rebalancer:
    """Decides after each step whether other shares are worth a change; every replica has one and all decide alike."""

    models: Sequence[SpeedModel]  # step model of each replica
    shares: tuple[int, ...]  # local batches, each >= 1
    caps: Sequence[int | None] | None = None  # most samples of each replica
    window: int = 5  # steps that the median is taken over
    band: float = 0.05  # loss not worth a change, beside the noise; a fraction of the compute phase
    cost: float = 1.5  # of a change, in compute phases

    def __post_init__(self) -> None:
        if len(self.models) != len(self.shares) or min(self.shares, default=0) < 1:
            raise ValueError(f"`shares` is {self.shares}; allowed is one >= 1 for each of {len(self.models)} models.")
        self._ratios = deque([np.ones(len(self.shares))] * self.window, self.window)  # observed / modelled seconds
        self._noise, self._lost, self._own, self._sent = np.full(len(self.shares), 0.5), 0.0, list[Any](), list[Any]()
        self._speeds = 1 / self._times([sum(self.shares)] * len(self.shares))
        self._best(np.ones(len(self.shares)))

    def observe(self, counts: Sequence[int], seconds: Sequence[float]) -> tuple[int, ...] | None:
        """Take in a step's samples and compute seconds of all replicas; return new shares where they pay."""
        self._ratios.append(np.asarray(seconds) / self._times(counts))
        factors = np.sort(self._ratios, axis=0)[self.window // 2]
        self._noise += 0.05 * (np.minimum(np.abs(self._ratios[-1] / factors - 1), 0.5) - self._noise)
        least = self.band + self._noise.max() / 2  # a median of five has half the noise of a step
        step = (factors * self._times(self.shares)).max()
        gain = 1 - self._work / (self._speeds / factors).sum() / step
        self._lost = max(self._lost + gain - least, min(self._lost, 0.0))
        if self._lost > self.cost:
            self._lost, shares = -5.0, self._best(factors)  # where nothing pays, look again later
            if (factors * self._times(shares)).max() <= (1 - least) * step:
                self._lost, self.shares = 0.0, shares
                return shares
        return None

    def _best(self, factors: np.ndarray) -> tuple[int, ...]:
        plan = partition([*map(SpeedModel.slowed, self.models, factors.tolist())], sum(self.shares), caps=self.caps)
        self._work = plan.step * (self._speeds / factors).sum()
        return deal(plan.global_batch, [max(n, 1) for n in plan.shares])  # no work would show no recovery

    def exchange(self, counts: Sequence[int], seconds: float, group: Any = None) -> tuple[int, ...] | None:
        """After a backward pass: every other time send the seconds computed, else `observe` what came meanwhile."""
        self._own.append((counts, seconds))
        if len(self._own) == 2:
            every = torch.zeros(2, len(counts), device={"nccl": "cuda"}.get(dist.get_backend(group))).double()
            every[:, dist.get_rank(group)] = torch.tensor([own for _, own in self._own], dtype=torch.float64)
            self._sent, self._own = [self._own, every, dist.all_reduce(every, group=group, async_op=True)], []
        elif self._sent:
            self._sent[2].wait()
            pair = [self.observe(n, row) for (n, _), row in zip(self._sent[0], self._sent[1].tolist(), strict=True)]
            return pair[1] or pair[0]
        return None

    def _times(self, counts: Sequence[int]) -> np.ndarray:
        return np.array([model.time(max(n, 1)) for model, n in zip(self.models, counts, strict=True)])
