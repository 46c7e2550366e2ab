"""What replicas run in the tests of planning."""

import contextlib
import copy
import io
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.parallel import DistributedDataParallel

import hetlib
from hetlib.models.registry import build_model
from hetlib.planning.race import compute_times, race, step_times
from hetlib.planning.timing import Task
from hetlib.replicas.platform import Replica

Shares = tuple[int, int]


class InPlace(hetlib.Replicas):
    """In place of a pool: calls what it would send as this rank, in this process."""

    def __init__(self, rank: int, platform: hetlib.Platform) -> None:
        super().__init__(platform)
        self.place = rank

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        return [function(self.place, *arguments)]


def plain(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.0)


def small_cnn() -> nn.Module:
    return build_model("smallcnn", bands=4, classes=3, size=16)


def images(n: int) -> torch.Tensor:
    return torch.randn(n, 4, 16, 16)


def mean_of_ones(network: nn.Module, n: int) -> torch.Tensor:
    return network(torch.ones(n, 2)).mean()


def mean_of_images(network: nn.Module, n: int) -> torch.Tensor:
    return network(images(n)).square().mean()


@contextlib.contextmanager
def batches_of_first_layer() -> Iterator[list[int]]:
    """Note how many samples go through the first layer of a CNN in training, pass by pass."""
    seen: list[int] = []

    def note(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        first = isinstance(module, nn.Conv2d) and module.in_channels < 16
        if first and module.training:
            seen.append(len(inputs[0]))

    hook = register_module_forward_pre_hook(note)
    try:
        yield seen
    finally:
        hook.remove()


def own_plan(rank: int, bounds: list[dict[str, int]]) -> tuple[hetlib.Partition, bool]:
    """Plan as a script of one's own would; return whether the model came through untouched, too."""
    model = small_cnn()
    before = copy.deepcopy(model.state_dict())
    few = images(5)  # fewer than any local batch
    plan = hetlib.plan(model, few, global_batch=48, seconds=0.2, **bounds[rank])
    return plan, is_untouched(model, before)


def is_untouched(model: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    """Return whether a model has its state of before, no gradient and no hook."""
    for name, value in model.state_dict().items():
        if not torch.equal(value, before[name]):
            return False
    if any(weight.grad is not None for weight in model.parameters()):
        return False
    return not any(module._forward_hooks for module in model.modules())


def one_step_each(rank: int, shares: tuple[int, ...]) -> int:
    """Train one balanced step after a plan: no group or hook of the planner is in the way."""
    model = small_cnn()
    hetlib.plan(model, images(8), global_batch=sum(shares), seconds=0.1)
    loader = hetlib.BalancedLoader(range(sum(shares)), shares)
    wrapped = DistributedDataParallel(model)
    for indices in loader:
        loss = wrapped(images(len(indices))).square().mean()
        hetlib.balance(loss, loader).backward()
    return sum(p.grad is not None for p in model.parameters())


def equal_shares_in_a_race(rank: int, slowdown: float) -> tuple[int, list[float]]:
    """Time one plan with a budget for rank 1 alone; return the steps and both compute times."""
    own = Replica()
    if rank == 1:
        own = Replica(slowdown=slowdown)
    task = Task(own, small_cnn(), mean_of_images, plain)
    found = race(task, [(16, 16)], seconds=0.5 * rank)
    times = found[16, 16]
    return times.shape[1], compute_times(times)


def plans_of_known_times(rank: int, seconds: dict[Shares, float]) -> dict[Shares, int]:
    """Race plans whose steps sleep, without a budget, and return how many steps each took."""
    task = Task(Replica(), nn.Linear(2, 1), mean_of_ones, plain)
    asleep = {shares[rank]: slept for shares, slept in seconds.items()}

    def step(n: int) -> tuple[float, float]:
        time.sleep(asleep[n])
        return asleep[n], asleep[n]

    with mock.patch("hetlib.planning.race.Stepper", return_value=step):
        found = race(task, seconds, 0.0, most=7)
    return {shares: times.shape[1] for shares, times in found.items()}


class SlowUpdate(torch.optim.SGD):
    """Sleeps in each update."""

    slept = 0.0

    def step(self, *arguments: Any) -> None:
        time.sleep(self.slept)
        super().step(*arguments)


def a_slow_pass_beside_a_slow_update(rank: int, slept: float) -> float:
    """Time a plan in which rank 0 computes while rank 1 updates; return its median step."""

    def loss_of(network: nn.Module, n: int) -> torch.Tensor:
        if rank == 0:
            time.sleep(slept)
        return mean_of_ones(network, n)

    def optimizer_of(network: nn.Module) -> torch.optim.Optimizer:
        optimizer = SlowUpdate(network.parameters(), lr=0.0)
        if rank == 1:
            optimizer.slept = slept
        return optimizer

    task = Task(Replica(), nn.Linear(2, 1), loss_of, optimizer_of)
    found = race(task, [(8, 8)], 0.0)
    return float(np.median(step_times(found[8, 8])))


def wrapped_for_a_plan(rank: int, experiment: hetlib.Experiment) -> list[dict[str, Any]]:
    """Plan an experiment, and return the options with which its model was wrapped."""
    wrap = mock.Mock(wraps=DistributedDataParallel)
    replicas = InPlace(rank, hetlib.Platform.emulated([1, 1]))
    with mock.patch("hetlib.planning.timing.DistributedDataParallel", wrap):
        hetlib.plan_experiment(experiment, replicas, seconds=0.1, keep_all=True)
    found = []
    for call in wrap.mock_calls:
        options = dict(call.kwargs)
        del options["process_group"]
        found.append(options)
    return found


class Branches(nn.Module):
    """A network with a branch that no output depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Linear(6, 3)
        self.spare = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.main(x)


def unused_parameters(rank: int) -> hetlib.Partition:
    batch = torch.randn(4, 6)
    return hetlib.plan(Branches(), batch, global_batch=16, seconds=0.1)


def bars_drawn(rank: int, shown: bool) -> bool:
    """Plan, and return whether this rank drew a bar."""
    model = nn.Linear(6, 3)
    batch = torch.randn(4, 6)
    with contextlib.redirect_stderr(io.StringIO()) as drawn:
        hetlib.plan(model, batch, global_batch=16, seconds=0.1, progress=shown)
    return "planning:" in drawn.getvalue()


def little_memory(rank: int, most: tuple[int, ...]) -> hetlib.Partition:
    return hetlib.plan(
        small_cnn(),
        images(8),
        global_batch=48,
        accumulate=True,
        max_batch=most[rank],
        seconds=0.1,
    )


def stored_plan(rank: int, folder: str, global_batch: int) -> hetlib.Partition:
    torch.manual_seed(0)
    model = nn.Linear(6, 3)
    batch = torch.randn(4, 6)
    return hetlib.plan(model, batch, global_batch=global_batch, seconds=0.1, store=folder)
