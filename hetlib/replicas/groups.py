"""Process groups of some of a job's processes, whose collectives end within the job's time-out.

`torch.distributed.new_group` gives a group the backend's time-out of half an hour, whatever the job
was started with: one replica that stands still would hold all others for so long.
"""

from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist


def subgroup(ranks: Sequence[int]) -> dist.ProcessGroup | None:
    """Make a group with the time-out of the whole job; every process of the job has to call it.

    Args:
        ranks: Its members.

    Returns:
        The group; None where this process is not in it.
    """
    made = dist.new_group(list(ranks), timeout=timeout_of_job())
    return made if isinstance(made, dist.ProcessGroup) else None


def timeout_of_job() -> timedelta | None:
    """Return the time-out that the job was started with; None where torch does not tell it."""
    world = dist.group.WORLD
    if world is None:
        return None
    for device in ("cpu", "cuda"):
        try:
            timeout = world._get_backend(torch.device(device)).options._timeout
        except (AttributeError, RuntimeError):  # not of this backend, or of this torch
            continue
        if isinstance(timeout, timedelta):
            return timeout
    return None
