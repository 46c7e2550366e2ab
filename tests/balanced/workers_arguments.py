"""Wrong groups of replicas, in replicas."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

import hetlib
from tests.balanced.workers_mistakes import a_loss, message_of

WRONG = ("gloo", 3, [0, 1], torch.ones(1), True)


def calls(group: Any) -> dict[str, Callable[[], Any]]:
    """Return what takes a group."""
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    return {
        "balance": partial(hetlib.balance, a_loss(), count=1, group=group),
        "balance a sum": partial(hetlib.balance, a_loss(), reduction="sum", group=group),
        "announce": partial(hetlib.announce, 1, group=group),
        "joined": partial(hetlib.JoinedCounts, group),
        "check weights": partial(hetlib.check_weights, network, group),
        "convert": partial(hetlib.convert_batchnorm, nn.BatchNorm1d(2), group),
        "pool": partial(hetlib.pool_batchnorm, network, group),
    }


def with_wrong_groups(rank: int) -> dict[str, str]:
    found = {}
    for group in WRONG:
        for name, call in calls(group).items():
            found[f"{name} {group}"] = message_of(call)
    return found


def in_a_group_of_rank_0(rank: int) -> dict[str, str]:
    group = dist.new_group([0])
    checked = calls(group)
    # such a process may have the model, too
    del checked["convert"]
    return {name: message_of(call) for name, call in checked.items()}
