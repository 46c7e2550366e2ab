"""Planning again and again in one process, for tests of what stays."""

import gc
import os
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import hetlib

# Plans are counted in so many rows of so many. What stays of each plan stays in every row; the
# allocator takes a few blocks of 4 MB whenever it finds no place, and not in every row.
ROWS = 3
IN_A_ROW = 5


class Stay(NamedTuple):
    """What stays of plans: bytes and tensors of each, groups and DDP objects of all.

    Attributes:
        resident: Of a plan in the row that took least.
        tensors: Of a plan on average.
        groups: Of all plans.
        wrapped: Of all plans.
    """

    resident: float
    tensors: float
    groups: int
    wrapped: int


def twenty_plans(rank: int) -> Stay:
    """Plan again and again; return what stays."""
    known_groups = len(dist.distributed_c10d._world.pg_map)
    known_wrapped = count_wrapped()
    network = nn.Sequential(nn.Linear(1000, 1000), nn.Sigmoid(), nn.Linear(1000, 2))
    batch = torch.ones(4, 1000)

    def once() -> None:
        hetlib.plan(network, batch, global_batch=8, seconds=0.05, progress=False)

    def row() -> int:
        before = resident()
        for _ in range(IN_A_ROW):
            once()
        return resident() - before

    row()  # the allocator keeps what it had at its height
    known_tensors = count_tensors()
    taken = [row() for _ in range(ROWS)]
    return Stay(
        resident=min(taken) / IN_A_ROW,
        tensors=(count_tensors() - known_tensors) / (ROWS * IN_A_ROW),
        groups=len(dist.distributed_c10d._world.pg_map) - known_groups,
        wrapped=count_wrapped() - known_wrapped,
    )


def count_tensors() -> int:
    """Return the tensors of this process that Python knows."""
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def count_wrapped() -> int:
    """Return the DDP objects of this process."""
    gc.collect()
    return sum(type(thing) is DistributedDataParallel for thing in gc.get_objects())


def resident() -> int:
    """Return the bytes of this process that are in memory; 0 where nobody tells."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
