"""Links between replicas that are delayed, for tests of stored plans."""

import time
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import nn

import hetlib
from hetlib.planning import planner
from hetlib.planning.link import Link, measured_link


class Delayed:
    """An all-reduce over a slower link.

    Args:
        delay: Seconds that each takes longer.
        rate: Bytes a second.
    """

    def __init__(self, delay: float, rate: float) -> None:
        self.delay = delay
        self.rate = rate
        self.reduce = dist.all_reduce

    def __call__(self, tensor: torch.Tensor, **options: Any) -> Any:
        time.sleep(self.delay + tensor.nbytes / self.rate)
        return self.reduce(tensor, **options)


def planned_over(rank: int, folder: str, delay: float, rate: float) -> bool:
    """Plan over a link with a store; return whether steps were timed."""
    torch.manual_seed(0)
    model = nn.Linear(256, 256)
    slower = mock.patch.object(dist, "all_reduce", Delayed(delay, rate))
    timed = mock.patch.object(planner, "decide", wraps=planner.decide)
    with slower, timed as decide:
        hetlib.plan(
            model,
            torch.ones(4, 256),
            global_batch=8,
            seconds=0.05,
            store=folder,
            progress=False,
        )
    return decide.called


def link_with_delay(rank: int, delay: float, rate: float) -> tuple[Link | None, float]:
    """Time a link; return what was found, and the seconds that it took."""
    with mock.patch.object(dist, "all_reduce", Delayed(delay, rate)):
        begin = time.perf_counter()
        link = measured_link(torch.device("cpu"))
        return link, time.perf_counter() - begin
