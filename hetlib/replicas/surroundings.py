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

# Variable that tells gloo which interface it may use.
_INTERFACE = "GLOO_SOCKET_IFNAME"


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
    """Read the surroundings of this process from its environment variables.

    Raises:
        ValueError: One of them is no number.
    """
    in_job = all(name in os.environ for name in _OF_A_JOB)
    if not in_job:
        return Surroundings(in_job=False, rank=0, world_size=1, local_world_size=None)
    local = os.environ.get("LOCAL_WORLD_SIZE")
    return Surroundings(
        in_job=True,
        rank=_number_in("RANK"),
        world_size=_number_in("WORLD_SIZE"),
        local_world_size=_number_in("LOCAL_WORLD_SIZE") if local else None,
    )


def _number_in(name: str) -> int:
    """Return the whole number in an environment variable."""
    text = os.environ[name]
    if not text.strip().isdecimal():
        raise ValueError(
            f"The environment variable {name} is {text!r}; it must be a whole number, as torchrun "
            f"sets it; without a job, unset {', '.join(_OF_A_JOB)}."
        )
    return int(text)


def keep_to_this_machine() -> None:
    """Let gloo use the loopback interface, unless its variable names another.

    Where no interface has a name that is known, gloo chooses one itself.

    Raises:
        ValueError: The variable names an interface that this machine does not have.
    """
    interfaces = _interfaces()
    named = os.environ.get(_INTERFACE)
    if named:
        unknown = [name for name in named.split(",") if name not in interfaces]
        if interfaces and unknown:
            raise ValueError(
                f"{_INTERFACE} is {named!r}; this machine has {interfaces}. Name one of them, or "
                "unset the variable."
            )
        return
    os.environ.pop(_INTERFACE, None)
    for loopback in _LOOPBACKS:
        if loopback in interfaces:
            os.environ[_INTERFACE] = loopback
            return


def _interfaces() -> list[str]:
    """Return the names of this machine's interfaces; none where the system does not list them."""
    if not hasattr(socket, "if_nameindex"):
        return []
    try:
        return [name for _, name in socket.if_nameindex()]
    except OSError:
        return []
