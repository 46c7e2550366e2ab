"""What a job's processes talk over: its backend, and groups of some of them within its time-out.

`torch.distributed.new_group` gives a group the backend's time-out of half an hour, whatever the job
was started with: one replica that stands still would hold all others for so long.
"""

from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist

from hetlib.replicas.platform import Replica


def backend_of(replicas: Sequence[Replica], *, one_machine: bool) -> str:
    """Return NCCL where each replica has a GPU of its own, else gloo, which takes all mixtures.

    Args:
        replicas: All of the job.
        one_machine: Whether they are on one; on several, GPUs share their names.
    """
    places = {replica.place for replica in replicas}
    each_its_own = len(places) == len(replicas) or not one_machine
    if each_its_own and "cpu" not in places:
        return "nccl"
    return "gloo"


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
