"""A balanced step against one of plain DDP: two replicas with equal shares, in turns.

Over NCCL where there are two GPUs, else over gloo with both replicas on the one there is.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

import hetlib
from tests.bench._measure import row
from tests.gpu import Result, Setting, attempt, in_turn, judge
from tests.gpu.common import Task, images, longest, network_of, now, platform_of

CHECK = "step"
STEPS = 10  # of a turn
LEAST_TURNS = 4
MOST_TURNS = 41
PLAIN = "plain"
# What the step of each arm may take of a plain one's. Counting is an exchange of 8 bytes.
LIMITS = {"balanced": 1.05, "balanced by announce()": 1.10, "plain again": None}

Seconds = dict[str, list[float]]  # of a step, by arm, one a turn


def tasks(setting: Setting) -> tuple[Task, ...]:
    if setting.dry:
        return (Task("small CNN", batch=8, size=16, width=0),)
    return (
        Task("small CNN", batch=128, size=32, width=0),
        Task("CNN of 8 layers", batch=256, size=32, width=64),
    )


def run(setting: Setting) -> Iterator[Result]:
    devices = (setting.fast, setting.fast)
    if setting.gpus > 1:
        devices = ("cuda:0", "cuda:1")
    seconds = float(setting.choose(real=25, dry=2))
    with hetlib.Replicas(platform_of(devices), timeout=60) as pool:
        for task in tasks(setting):
            yield from compare_arms(pool, task, devices, seconds, setting)


def compare_arms(
    pool: hetlib.Replicas, task: Task, devices: tuple[str, ...], budget: float, setting: Setting
) -> Iterator[Result]:
    """Time all arms of one task, then judge each against the plain one."""
    seconds: Seconds = {}

    def plain() -> Result:
        taken = pool.run(timed, task, devices, budget)
        seconds.update(slowest(taken))
        median = 1e3 * float(np.median(seconds[PLAIN]))
        note = "milliseconds, for comparison"
        return judge(CHECK, f"{task.name}: plain DDP's step", median, at_most=None, note=note)

    yield attempt(CHECK, f"{task.name}: steps in turns", plain)
    if not seconds:
        return
    for arm, limit in LIMITS.items():
        yield judged(task, arm, limit, seconds, setting)


def slowest(by_rank: list[Seconds]) -> Seconds:
    """Return the seconds of the slower replica in each turn."""
    found = {}
    for arm in by_rank[0]:
        found[arm] = np.max([taken[arm] for taken in by_rank], axis=0).tolist()
    return found


def judged(task: Task, arm: str, limit: float | None, seconds: Seconds, setting: Setting) -> Result:
    """Return the median of an arm's step over the plain one of the same turn."""
    ratios = np.array(seconds[arm]) / np.array(seconds[PLAIN])
    found = row(arm, ratios.tolist())
    return judge(
        CHECK,
        f"{task.name}: step {arm} / plain",
        found.value,
        at_most=limit,
        judged=not setting.dry,
        note=f"95 % interval {found.low:.3f} to {found.high:.3f}",
    )


def timed(rank: int, task: Task, devices: tuple[str, ...], budget: float) -> Seconds:
    """Return this replica's seconds of a step, by arm, in each turn that counts."""
    device = torch.device(devices[rank])
    arms: dict[str, Arm] = {
        PLAIN: Arm(rank, task, device, leave),
        "balanced": Arm(rank, task, device, weigh),
        "balanced by announce()": Arm(rank, task, device, count),
        "plain again": Arm(rank, task, device, leave),
    }
    seconds: Seconds = {name: [] for name in arms}
    turn = 0
    spent = 0.0
    begin = time.perf_counter()
    while turn < LEAST_TURNS or (turn < MOST_TURNS and spent < budget):
        for name in in_turn(list(arms), turn):
            taken = arms[name].turn()
            if turn > 0:  # the first warms up
                seconds[name].append(taken)
        turn += 1
        spent = longest(time.perf_counter() - begin)
    return seconds


class Batch(NamedTuple):
    """What an arm makes its loss of."""

    loss: torch.Tensor
    loader: Any
    announced: Any


def leave(batch: Batch) -> torch.Tensor:
    return batch.loss


def weigh(batch: Batch) -> torch.Tensor:
    return hetlib.balance(batch.loss, batch.loader)


def count(batch: Batch) -> torch.Tensor:
    return hetlib.balance(batch.loss, count=batch.announced)


class Arm:
    """A training in DDP, with its own network, optimizer and loader."""

    def __init__(
        self,
        rank: int,
        task: Task,
        device: torch.device,
        balanced: Callable[[Batch], torch.Tensor],
    ) -> None:
        self._device = device
        self._balanced = balanced
        self._model = DistributedDataParallel(network_of(task, device))
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=0.01, momentum=0.9)
        self._images, self._labels = images(task.batch, task.size, device)
        samples = task.batch * STEPS
        half = task.batch // 2
        self._loader: Any = DataLoader(range(samples // 2), batch_size=half, shuffle=True)
        if balanced is weigh:
            self._loader = hetlib.BalancedLoader(range(samples), (half, half), rank=rank)

    def turn(self) -> float:
        """Return the seconds of a step, the mean of an epoch's."""
        longest(0.0)  # all begin together
        begin = now(self._device)
        for numbers in self._loader:
            chosen = (numbers % len(self._images)).to(self._device)
            labels = self._labels[chosen]
            announced = None
            if self._balanced is count:
                announced = hetlib.announce(len(labels))
            loss = F.cross_entropy(self._model(self._images[chosen]), labels)
            self._balanced(Batch(loss, self._loader, announced)).backward()
            self._optimizer.step()
            self._optimizer.zero_grad()
        return (now(self._device) - begin) / STEPS
