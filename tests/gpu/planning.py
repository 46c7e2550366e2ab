"""A plan for a GPU and the CPU beside it, against the clock.

The planner says whether the CPU takes part, and with how much. The clock then times the GPU alone
and splits with the CPU in turns, by steps of its own: nothing of the planner's is used.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import hetlib
from tests.gpu import Result, Setting, attempt, judge
from tests.gpu.common import (
    Task,
    images,
    longest,
    network_of,
    now,
    platform_of,
    without_tf32,
)

CHECK = "planning"
# Of the planned step over the fastest one that the clock has seen.
WORTH = 1.1
# Of the planned step's prediction over the clock, or the clock over it.
PREDICTED = 1.25


class Planned(NamedTuple):
    """What is kept of a plan."""

    shares: tuple[int, ...]
    step: float
    why: str


def tasks(setting: Setting) -> tuple[Task, ...]:
    if setting.dry:
        return (Task("small CNN", batch=16, size=16, width=0),)
    return (
        Task("small CNN", batch=64, size=32, width=0),
        Task("CNN of 8 layers", batch=256, size=32, width=64),
    )


def run(setting: Setting) -> Iterator[Result]:
    devices = (setting.fast, "cpu")
    # one core starts the GPU's work
    threads = max(setting.cores - 1, 1)
    with hetlib.Replicas(platform_of(devices, threads), timeout=60) as pool:
        for task in tasks(setting):
            yield from Comparison(pool, task, devices, setting).results()


class Comparison:
    """The plan of one task, and the clock's word on it."""

    def __init__(
        self, pool: hetlib.Replicas, task: Task, devices: tuple[str, ...], setting: Setting
    ) -> None:
        self._pool = pool
        self._task = task
        self._devices = devices
        self._judged = not setting.dry
        self._seconds = float(setting.choose(real=12, dry=2))
        self._title = f"{task.name}, batch {task.batch}"
        self._plan: Planned | None = None
        self._times: dict[tuple[int, ...], float] = {}  # of a step, by split

    def results(self) -> Iterator[Result]:
        yield attempt(CHECK, f"{self._title}: plan", self._made_plan)
        if self._plan is None:
            return
        yield attempt(CHECK, f"{self._title}: clock", self._alone_or_together)
        if not self._times:
            return
        own = self._times[self._plan.shares]
        fastest = min(self._times.values())
        yield self._judge("planned step over the fastest, by the clock", own / fastest, WORTH)
        ratio = self._plan.step / own
        compared = "planned step's prediction and the clock, the larger over the other"
        yield self._judge(compared, max(ratio, 1 / ratio), PREDICTED)

    def _made_plan(self) -> Result:
        task = self._task
        self._plan = self._pool.run(planned, task, self._devices, self._seconds)[0]
        shares = self._plan.shares
        note = self._plan.why or f"shares {shares}"
        compared = f"{self._title}: samples of the CPU by the plan"
        return judge(CHECK, compared, shares[1], at_most=None, note=note)

    def _alone_or_together(self) -> Result:
        assert self._plan is not None
        tried = splits(self._task, self._plan.shares)
        self._times = self._pool.run(timed, self._task, self._devices, tried, self._seconds)[0]
        times = self._times
        alone = times[(self._task.batch, 0)]
        together = min(seconds for split, seconds in times.items() if all(split))
        best = min(times, key=lambda split: times[split])
        note = f"GPU alone {1e3 * alone:.2f} ms; fastest {best} {1e3 * times[best]:.2f} ms"
        compared = f"{self._title}: GPU alone over the best split with the CPU, by the clock"
        return judge(CHECK, compared, alone / together, at_most=None, note=note)

    def _judge(self, compared: str, value: float, at_most: float) -> Result:
        compared = f"{self._title}: {compared}"
        return judge(CHECK, compared, value, at_most=at_most, judged=self._judged)


def splits(task: Task, planned_shares: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the splits to time: the GPU alone, some samples for the CPU, and the plan's own."""
    of_cpu = {0, 1, 2, task.batch // 32, task.batch // 8, planned_shares[1]}
    return [(task.batch - n, n) for n in sorted(of_cpu)]


def loss_of(model: nn.Module, batch: Any) -> torch.Tensor:
    inputs, labels = batch
    return F.cross_entropy(model(inputs), labels)


def planned(rank: int, task: Task, devices: tuple[str, ...], seconds: float) -> Planned:
    """Plan as a script does, and return what is compared."""
    without_tf32()
    device = torch.device(devices[rank])
    plan = hetlib.plan(
        network_of(task, device),
        images(min(task.batch, 32), task.size, device),
        global_batch=task.batch,
        loss=loss_of,
        seconds=seconds,
        progress=False,
    )
    return Planned(plan.shares, plan.step, plan.reasons[1])


def timed(
    rank: int,
    task: Task,
    devices: tuple[str, ...],
    all_splits: list[tuple[int, ...]],
    seconds: float,
) -> dict[tuple[int, ...], float]:
    """Return the median seconds of a step of each split, those of the slower replica."""
    without_tf32()
    device = torch.device(devices[rank])
    loops = {split: Loop(rank, task, device, split) for split in all_splits}
    steps: dict[tuple[int, ...], list[float]] = {split: [] for split in all_splits}
    begin = now(device)
    spent = 0.0
    turn = 0
    while turn < 4 or spent < seconds:
        for split in all_splits:
            taken = longest(loops[split].turn())
            if turn > 0:  # the first warms up
                steps[split].append(taken)
        turn += 1
        spent = longest(now(device) - begin)
    return {split: float(np.median(taken)) for split, taken in steps.items()}


class Loop:
    """Training steps of one split: under DDP where both take part, else of one replica alone."""

    STEPS = 3  # of a turn

    def __init__(self, rank: int, task: Task, device: torch.device, split: tuple[int, ...]) -> None:
        self._device = device
        self._split = split
        self._own = split[rank]
        self._batch = images(max(self._own, 1), task.size, device)
        network = network_of(task, device)
        self._model: Any = network
        if all(split):
            self._model = DistributedDataParallel(network)
        self._optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def turn(self) -> float:
        """Return this replica's seconds of a step; 0 where it stays out."""
        longest(0.0)
        if self._own == 0:
            return 0.0
        begin = now(self._device)
        for _ in range(self.STEPS):
            loss = loss_of(self._model, self._batch)
            if all(self._split):
                hetlib.balance(loss, count=self._own)
            loss.backward()
            self._optimizer.step()
            self._optimizer.zero_grad()
        return (now(self._device) - begin) / self.STEPS
