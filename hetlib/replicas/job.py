"""The replicas of a job that torchrun started, used as `hetlib.Replicas` are.

The job's processes are on one machine or several. Every process of the job calls the same methods;
all get the same results. A process that fails ends the job: torchrun stops the others.
"""

import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist

from hetlib.environment import environment
from hetlib.inputs import number
from hetlib.replicas.groups import backend_of
from hetlib.replicas.platform import Platform, Replica, require_platform
from hetlib.replicas.processes import Replicas
from hetlib.replicas.surroundings import keep_to_this_machine, surroundings

FOREVER = timedelta(days=30)  # replicas without a share wait for the end of a run
_REDUCED = 2  # column of a replica's time stamps: the gradients are exchanged


class JobReplicas(Replicas):
    """One replica of a platform for each process of the job, by rank.

    Args:
        platform: The replicas, one for each process.
        timeout: Seconds after which a collective that not all replicas reach is an error.

    Raises:
        ValueError: The platform has another size than the job, or this process belongs to none.
    """

    rank: int

    def __init__(self, platform: Platform, *, timeout: float = 600.0) -> None:
        require_platform(platform)
        timeout = number("timeout", timeout, above=0)
        around = surroundings()
        if not around.in_job:
            raise ValueError(
                "this process belongs to no job: RANK, WORLD_SIZE and MASTER_ADDR are not all set; "
                "start it by torchrun, or use hetlib.Replicas."
            )
        if len(platform) != around.world_size:
            raise ValueError(
                f"the platform has {len(platform)} replicas, "
                f"but the job {around.world_size} processes; give one each."
            )
        own = platform.replicas[around.rank]
        # which looks for this machine's GPU
        super().__init__(Platform((own,)), timeout=timeout)
        self.platform = platform
        self.rank = around.rank
        torch.set_num_threads(own.threads)
        if own.device.startswith("cuda"):
            torch.cuda.set_device(own.place)
        if around.one_machine:
            keep_to_this_machine()
        backend = backend_of(platform.replicas, one_machine=around.one_machine)
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
        everyone = dist.new_group(backend="gloo", timeout=FOREVER)
        self._everyone = cast("dist.ProcessGroup", everyone)  # a number for those outside alone

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call ``function(rank, *arguments)`` in every process.

        Args:
            function: What each does.
            arguments: The same for all.

        Returns:
            The results by rank, in every process.
        """
        results = self._gather(function(self.rank, *arguments))
        return one_clock(results, self.rank)

    def about(self) -> dict[str, Any]:
        """Return what a record tells of the machines.

        Returns:
            ``"contended"``: whether the replicas of one want more threads than it has cores;
            ``"machines"``: the kind and number of each replica's.
        """
        hosts = self._gather(socket.gethostname())
        own_host = hosts[self.rank]
        machine = environment()
        wanted = _threads_on(own_host, hosts, self.platform.replicas)
        contended = any(self._gather(wanted > machine["cores"]))
        kept = {name: machine[name] for name in ("processor", "gpu", "cores")}
        machines = self._gather(kept | {"number": hosts.index(own_host)})
        return {"contended": contended, "machines": machines}

    def close(self, *, force: bool = False) -> None:
        """Leave the job.

        Args:
            force: Makes no difference here.
        """
        if dist.is_initialized():
            dist.destroy_process_group()
            # as in `hetlib.balanced.loss`: gloo's threads let go of the last backward pass a
            # little later
            time.sleep(0.1)

    def _gather(self, item: Any) -> list[Any]:
        items = [item] * len(self.platform)
        dist.all_gather_object(items, item, group=self._everyone)
        return items


def one_clock(results: list[Any], rank: int) -> list[Any]:
    """Shift the time stamps in the results of `train_replica` to one clock.

    Each machine's clock counts from its own start. All replicas leave the exchange of gradients at
    the same time.

    Args:
        results: Of all replicas, by rank; stamps in seconds, ``(steps, 4)``. They are changed.
        rank: Whose clock it is; where it has no stamps, that of the first replica that has.

    Returns:
        ``results``.
    """
    trained = [result for result in results if isinstance(result, dict) and "stamps" in result]
    if not trained:
        return results
    reference = results[rank] or trained[0]
    clock = reference["stamps"][:, _REDUCED].copy()
    for result in trained:
        stamps = result["stamps"]
        result["stamps"] = stamps - np.median(stamps[:, _REDUCED] - clock)
    return results


def _threads_on(own_host: str, hosts: list[str], replicas: tuple[Replica, ...]) -> int:
    """Return the threads that the CPU replicas on a machine want together."""
    threads = 0
    for host, replica in zip(hosts, replicas, strict=True):
        if host == own_host and replica.device == "cpu":
            threads += replica.threads
    return threads
