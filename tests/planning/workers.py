"""What replicas run in the tests of the planner."""

import contextlib
import io
import time
from typing import Any
from unittest import mock

import numpy as np
import torch

import hetlib
from hetlib.models.registry import build_model
from hetlib.planning import planner
from hetlib.planning.race import race
from hetlib.planning.timing import Task
from hetlib.replicas.platform import Replica


def plain(network: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.0)


def own_plan(rank: int, bounds: list[dict[str, int]]) -> tuple[hetlib.Partition, bool]:
    """Plan as a script of one's own would; return the plan and whether the model came through it untouched."""
    model = build_model("smallcnn", bands=4, classes=3, size=16)
    before = [p.detach().clone() for p in model.parameters()]
    images = torch.randn(5, 4, 16, 16)  # fewer than any local batch
    plan = hetlib.plan(model, images, global_batch=48, seconds=0.2, **bounds[rank])
    same = all(
        torch.equal(p, q) and p.grad is None
        for p, q in zip(model.parameters(), before, strict=True)
    )
    return plan, same and not any(m._forward_hooks for m in model.modules())


def one_step_each(rank: int, shares: tuple[int, ...]) -> int:
    """Train one balanced step after a plan: no group or hook of the planner is in the way."""
    model = build_model("smallcnn", bands=4, classes=3, size=16)
    hetlib.plan(model, torch.randn(8, 4, 16, 16), global_batch=sum(shares), seconds=0.1)
    sampler = hetlib.BalancedSampler(sum(shares), shares)
    wrapped = hetlib.balance(torch.nn.parallel.DistributedDataParallel(model), sampler)
    for indices in sampler:
        wrapped(torch.randn(len(indices), 4, 16, 16)).square().mean().backward()
    return sum(p.grad is not None for p in model.parameters())


def equal_shares_in_a_race(rank: int, slowdown: float) -> tuple[int, list[float]]:
    """Time one plan with a budget for rank 1 alone; return the steps taken and the compute times of both ranks."""
    model = build_model("smallcnn", bands=4, classes=3, size=16)
    task = Task(
        Replica(slowdown=slowdown if rank else 1.0),
        model,
        lambda network, n: network(torch.randn(n, 4, 16, 16)).square().mean(),
        plain,
    )
    times = race(task, [(16, 16)], 0.5 * rank)[16, 16]
    return times.shape[1], np.median(times[..., 1], axis=1).tolist()


def plans_of_known_times(
    rank: int, seconds: dict[tuple[int, int], float]
) -> dict[tuple[int, int], int]:
    """Race plans whose steps sleep, without a budget, for seven steps at most; return how many each took."""
    task = Task(
        Replica(), torch.nn.Linear(2, 1), lambda network, n: network(torch.ones(n, 2)).mean(), plain
    )
    asleep = {shares[rank]: slept for shares, slept in seconds.items()}

    def step(n: int) -> tuple[float, float]:
        time.sleep(asleep[n])
        return asleep[n], asleep[n]

    with mock.patch("hetlib.planning.race.stepper", return_value=step):
        return {shares: times.shape[1] for shares, times in race(task, seconds, 0.0, 7).items()}


def a_slow_pass_beside_a_slow_update(rank: int, slept: float) -> float:
    """Time a plan in which rank 0 computes for the seconds in which rank 1 updates; return its median step."""

    def loss_of(network: torch.nn.Module, n: int) -> torch.Tensor:
        time.sleep(0.0 if rank else slept)
        return network(torch.ones(n, 2)).mean()

    class Slow(torch.optim.SGD):
        def step(self, *arguments: Any) -> None:
            time.sleep(slept if rank else 0.0)
            super().step(*arguments)

    task = Task(
        Replica(),
        torch.nn.Linear(2, 1),
        loss_of,
        lambda network: Slow(network.parameters(), lr=0.0),
    )
    return float(np.median(race(task, [(8, 8)], 0.0)[8, 8][..., 0].max(0)))


def wrapped_for_a_plan(rank: int, experiment: hetlib.Experiment) -> list[dict[str, Any]]:
    """Plan an experiment, and return the options with which its model was wrapped."""
    wrap = mock.Mock(wraps=torch.nn.parallel.DistributedDataParallel)
    platform = hetlib.Platform.emulated([1, 1])
    with mock.patch("hetlib.planning.timing.DistributedDataParallel", wrap):
        planner._on_replica(rank, experiment, platform, planner._decide, 0.1, True)
    return [
        {name: value for name, value in call.kwargs.items() if name != "process_group"}
        for call in wrap.mock_calls
    ]


class Branches(torch.nn.Module):
    """A network with a branch that no output depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.main, self.spare = torch.nn.Linear(6, 3), torch.nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.main(x)


def unused_parameters(rank: int) -> hetlib.Partition:
    return hetlib.plan(Branches(), torch.randn(4, 6), global_batch=16, seconds=0.1)


def bars_drawn(rank: int, shown: bool) -> bool:
    """Plan, and return whether this rank drew a bar."""
    with contextlib.redirect_stderr(io.StringIO()) as drawn:
        hetlib.plan(
            torch.nn.Linear(6, 3), torch.randn(4, 6), global_batch=16, seconds=0.1, progress=shown
        )
    return "planning:" in drawn.getvalue()


def little_memory(rank: int, most: tuple[int, ...]) -> hetlib.Partition:
    model = build_model("smallcnn", bands=4, classes=3, size=16)
    options = {"accumulate": True, "max_batch": most[rank], "seconds": 0.1}
    return hetlib.plan(model, torch.randn(8, 4, 16, 16), global_batch=48, **options)  # type: ignore[arg-type]


def stored_plan(rank: int, folder: str, global_batch: int) -> hetlib.Partition:
    torch.manual_seed(0)
    model = torch.nn.Linear(6, 3)
    return hetlib.plan(
        model, torch.randn(4, 6), global_batch=global_batch, seconds=0.1, store=folder
    )
