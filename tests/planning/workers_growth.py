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


class Stay(NamedTuple):
    """What stays of plans: bytes and tensors of each, groups and DDP objects of all."""

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

    for _ in range(5):  # the allocator keeps what it had at its height
        once()
    before = resident()
    known_tensors = count_tensors()
    for _ in range(15):
        once()
    return Stay(
        resident=(resident() - before) / 15,
        tensors=(count_tensors() - known_tensors) / 15,
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
