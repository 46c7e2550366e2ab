r"""Shares that follow the replicas' speed while they train; the global batch stays as it is.

Over the last 10, 40 and 160 steps of a plan, the median :math:`f_r` of observed over modelled time
scales each model. What the plan loses to the best one, taken to go with :math:`1 / \sum_r (s_r /
f_r)` (speeds s_r), less a dead band, has to add up to the cost of a change: a slow phase below half
a window is sat out. The later half gives the new shares and has to confirm half of that; it alone
decides on going back to the plan before, once, at a quarter of the cost.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul, truediv
from typing import Any

import torch
import torch.distributed as dist

from hetlib.balanced.sampler import deal
from hetlib.planning.partition import partition
from hetlib.planning.speed import SpeedModel

# steps that the replicas tell each other about at a time; steps that are judged
MESSAGE, WINDOWS = 5, (10, 40, 160)


@dataclass
class Rebalancer:
    """Decides every five steps whether other shares are worth a change; every replica has one and all decide alike."""

    models: Sequence[SpeedModel]  # step model of each replica
    shares: tuple[int, ...]  # local batches, each >= 1
    caps: Sequence[int | None] | None = None  # most samples of each replica
    # loss a step not worth a change, in compute phases of the best plan at the usual speeds
    band: float = 0.05
    cost: float = 10.0  # of a change, in such phases; a quarter of it to go back to the plan before

    def __post_init__(self) -> None:
        if len(self.models) != len(self.shares) or min(self.shares, default=0) < 1:
            raise ValueError(
                f"`shares` is {self.shares}; allowed is one >= 1 for each of {len(self.models)} models."
            )
        # Lists, one buffer, and nothing asked twice: in caches that a step left cold, ten calls of
        # numpy take 0.2 ms.
        self._time = lru_cache(
            lambda shares: [m.time(max(n, 1)) for m, n in zip(self.models, shares, strict=True)]
        )
        self._rank, self._backend = lru_cache(dist.get_rank), lru_cache(dist.get_backend)
        self._buffer = array("d", [0.0] * MESSAGE * len(self.shares))
        self._shared = torch.frombuffer(self._buffer, dtype=torch.float64).view(MESSAGE, -1)
        self._speeds = [
            1 / seconds for seconds in self._time((sum(self.shares),) * len(self.shares))
        ]
        self._best([1.0] * len(self.shares))
        self._own, self._sent, self._before = list[Any](), tuple[Any, ...](), tuple[int, ...]()
        self._ratios = list[list[float]]()  # observed / modelled seconds, (steps, replicas)

    def observe(self, counts: Sequence[tuple[int, ...]], seconds: Any) -> tuple[int, ...] | None:
        """Take in a message, samples and compute seconds ``(steps, replicas)``; return new shares where they pay."""
        if len(self._ratios) >= 2 * WINDOWS[-1]:
            del self._ratios[: -WINDOWS[-1]]
        self._ratios += [
            [*map(truediv, row, self._time(n))] for n, row in zip(counts, seconds, strict=True)
        ]
        phase = self._ideal(self._median(seen := len(self._ratios), MESSAGE))
        for window in (w for w in WINDOWS if seen >= w and seen % (w // 2) == 0):
            whole, least, cost = self._median(window), self.band * phase, self.cost * phase / window
            lost = self._step(whole, self.shares) - self._ideal(whole) > least + cost
            late = self._median(window // 2) if lost or self._before else ()
            if (
                self._before
                and self._step(late, self.shares) - self._step(late, self._before)
                > least + cost / 4
            ):
                return self._begin(self._before, ())
            if lost:
                shares = self._best(late)
                if self._step(late, self.shares) - self._step(late, shares) > least + cost / 2:
                    return self._begin(shares, self.shares)
        return None

    def _begin(self, shares: tuple[int, ...], before: tuple[int, ...]) -> tuple[int, ...]:
        self.shares, self._before, self._ratios = shares, before, []
        return shares

    def _median(self, steps: int, every: int = 1) -> list[float]:
        return [
            sorted(ratios)[len(ratios) // 2]
            for ratios in zip(*self._ratios[-steps::every], strict=True)
        ]

    def _step(self, factors: Sequence[float], shares: tuple[int, ...]) -> float:
        return max(map(mul, factors, self._time(shares)))

    def _ideal(self, factors: Sequence[float]) -> float:
        return self._work / sum(map(truediv, self._speeds, factors))

    def _best(self, factors: Sequence[float]) -> tuple[int, ...]:
        plan = partition(
            [*map(SpeedModel.slowed, self.models, factors)], sum(self.shares), caps=self.caps
        )
        self._work = plan.step * sum(map(truediv, self._speeds, factors))
        # no work would show no recovery
        return deal(plan.global_batch, [max(n, 1) for n in plan.shares])

    def exchange(
        self, counts: Sequence[int], seconds: float, group: Any = None
    ) -> tuple[int, ...] | None:
        """After a backward pass: note the seconds computed, send them every fifth time, `observe` all the next time."""
        self._own.append((tuple(counts), seconds))
        if len(self._own) == 1 and self._sent:
            self._sent[2].wait()
            return self.observe(self._sent[0], self._sent[1].tolist())
        if len(self._own) == MESSAGE:
            (steps, own), rank, ranks = (
                zip(*self._own, strict=True),
                self._rank(group),
                range(len(counts)),
            )
            self._buffer[:] = array(
                "d", [value if r == rank else 0.0 for value in own for r in ranks]
            )
            sent = self._shared.to({"nccl": "cuda"}.get(self._backend(group), "cpu"))
            # called directly: dist.all_reduce takes longer
            everyone: Any = group or dist.group.WORLD
            self._sent, self._own = (steps, sent, everyone.allreduce([sent])), []
        return None
