"""Functions of the tests of batch statistics that replicas run, on a layer or two alone."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import hetlib
from hetlib.balanced import batchnorm
from tests.balanced.workers_batchnorm import logged, numbers
from tests.balanced.workers_mistakes import message_of


class Pass(NamedTuple):
    """What a layer's pass and its backward pass give."""

    outputs: np.ndarray
    gradient: np.ndarray  # of the inputs
    mean: np.ndarray  # running
    variance: np.ndarray


def passed(norm: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Pass:
    outputs, gradient = numbers(y, x.grad)
    mean, variance = numbers(norm.running_mean, norm.running_var)
    return Pass(outputs, gradient, mean, variance)


def half_precision(rank: int, dtype: str, shares: list[int]) -> Pass:
    """Return what one layer makes of a large mean under autocast."""
    kind = getattr(torch, dtype)
    norm = batchnorm.BalancedBatchNorm2d(4)
    x = make_wide(sum(shares)).split(shares)[rank].requires_grad_()
    with torch.autocast("cpu", dtype=kind):
        y = norm(x.to(kind))
        assert y.dtype == kind
        weights = torch.arange(4.0)[:, None, None]
        (y.float().square() * weights).sum().backward()
    assert norm.running_mean.dtype == torch.float32
    return passed(norm, x, y)


def make_wide(samples: int, mean: float = 8.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return mean + torch.randn(samples, 4, 5, 5, generator=generator)


def large_mean(rank: int, shares: list[int], mean: float) -> Pass:
    """Return what one layer makes of this rank's part in float32."""
    norm = batchnorm.BalancedBatchNorm2d(4)
    part = make_wide(sum(shares), mean).split(shares)[rank]
    x = part.clone().requires_grad_()
    y = norm(x)
    (y * torch.sin(part - mean)).sum().backward()
    return passed(norm, x, y)


def one_value(rank: int) -> str:
    norm = batchnorm.BalancedBatchNorm1d(3)
    norm(torch.randn(1 + rank, 3))  # each replica's own batch may be as small as that
    try:
        norm(torch.randn(1 - min(rank, 1), 3))
    except ValueError as error:
        return str(error)
    return ""


class Statistics(NamedTuple):
    mean: np.ndarray
    variance: np.ndarray


class Found(NamedTuple):
    """Running statistics of the layers that have some, and how many collectives pooled them."""

    before: list[Statistics]
    after: list[Statistics]
    collectives: int


def running(model: nn.Module) -> list[Statistics]:
    kept = [norm for norm in model if norm.running_mean is not None]
    found = []
    for norm in kept:
        mean, variance = numbers(norm.running_mean, norm.running_var)
        found.append(Statistics(mean, variance))
    return found


def pool(rank: int, weights: list[float], steps: int = 3) -> Found:
    """Train local statistics of two layers and pool them."""
    torch.manual_seed(rank)
    kinds: list[dict] = [
        {},
        {"track_running_stats": False},
        {"momentum": None},
    ]
    model = nn.ModuleList(nn.BatchNorm1d(3, **options) for options in kinds).double()
    for _ in range(steps):
        x = rank + torch.randn(8, 3, dtype=torch.float64)
        for norm in model:
            norm(x)
    before = running(model)
    calls: list[str] = []
    with logged(calls):
        hetlib.pool_batchnorm(model, samples=weights[rank])
    return Found(before, running(model), len(calls))


BAD_WEIGHTS = (
    [1.0, -1.0, 1.0],
    [0.0, 0.0, 0.0],
    [1.0, float("nan"), 2.0],
)


def bad_weights(rank: int) -> list[str]:
    messages = []
    for weights in BAD_WEIGHTS:
        try:
            pool(rank, weights)
        except ValueError as error:
            messages.append(str(error))
    return messages


def one_bad_weight(rank: int, weight: Any) -> str:
    """Pool with a weight on rank 1 that is none, and return what is said of it."""
    given = weight if rank == 1 else 1.0
    return message_of(hetlib.pool_batchnorm, nn.BatchNorm1d(3), samples=given)
