"""Where a process stands: one of a job that torchrun started, or alone.

torchrun tells its processes by environment variables, and whoever starts a job in another way sets
the same ones. This is the one place that reads them.
"""

import os
import socket
from dataclasses import dataclass

# A job sets all of them. One alone, left over in a shell or of another framework, makes no job.
_OF_A_JOB = ("RANK", "WORLD_SIZE", "MASTER_ADDR")

# Linux names the interface that never leaves the machine `lo`, macOS and the BSDs `lo0`.
_LOOPBACKS = ("lo", "lo0")


@dataclass(frozen=True)
class Surroundings:
    """What this process is among others.

    Attributes:
        in_job: Whether torchrun, or whoever sets the same variables, started it.
        rank: Its number in the job; 0 without a job.
        world_size: Processes of the job; 1 without a job.
        local_world_size: Those of them on this machine; None where nobody says so.
    """

    in_job: bool
    rank: int
    world_size: int
    local_world_size: int | None

    @property
    def leads(self) -> bool:
        """Whether this process prints and writes for all."""
        return self.rank == 0

    @property
    def one_machine(self) -> bool:
        """Whether all processes are known to be on this machine."""
        return self.local_world_size == self.world_size


def surroundings() -> Surroundings:
    """Read the surroundings of this process from its environment variables."""
    in_job = all(name in os.environ for name in _OF_A_JOB)
    if not in_job:
        return Surroundings(in_job=False, rank=0, world_size=1, local_world_size=None)
    local = os.environ.get("LOCAL_WORLD_SIZE")
    return Surroundings(
        in_job=True,
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
        local_world_size=None if local is None else int(local),
    )


def keep_to_this_machine() -> None:
    """Let gloo use the loopback interface, unless its variable names another.

    Where no interface has a name that is known, gloo chooses one itself.
    """
    loopback = _loopback()
    if loopback is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)


def _loopback() -> str | None:
    if not hasattr(socket, "if_nameindex"):
        return None
    names = [name for _, name in socket.if_nameindex()]
    for loopback in _LOOPBACKS:
        if loopback in names:
            return loopback
    return None
