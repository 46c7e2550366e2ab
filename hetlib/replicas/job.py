"""The replicas of a job that torchrun started, on one machine or several, used as `hetlib.Replicas` are.

Every process of the job calls the same methods; all get the same results. A process that fails ends
the job: torchrun stops the others.
"""

import os
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from hetlib.environment import environment
from hetlib.replicas.platform import Platform
from hetlib.replicas.processes import Replicas

FOREVER = timedelta(days=30)  # replicas without a share wait for the end of a run


class JobReplicas(Replicas):
    """One replica of a platform for each process of the job, by rank; ``timeout`` is in seconds."""

    rank: int

    def __init__(self, platform: Platform, *, timeout: float = 600.0) -> None:
        self.rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        if len(platform) != size:
            raise ValueError(
                f"the platform has {len(platform)} replicas, but the job {size} processes; give one each."
            )
        own = platform.replicas[self.rank]
        # which looks for this machine's GPU
        super().__init__(Platform((own,)), timeout=timeout)
        self.platform = platform
        torch.set_num_threads(own.threads)
        if own.device.startswith("cuda"):
            torch.cuda.set_device(own.device)
        if os.environ.get("LOCAL_WORLD_SIZE") == str(size):  # one machine
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        kinds = {replica.device.partition(":")[0] for replica in platform.replicas}
        dist.init_process_group(
            "nccl" if kinds == {"cuda"} else "gloo", timeout=timedelta(seconds=timeout)
        )
        self._all: Any = dist.new_group(backend="gloo", timeout=FOREVER)

    def _gather(self, item: Any) -> list[Any]:
        items = [item] * len(self.platform)
        dist.all_gather_object(items, item, group=self._all)
        return items

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call ``function(rank, *arguments)`` in every process and return the results by rank."""
        return one_clock(self._gather(function(self.rank, *arguments)), self.rank)

    def about(self) -> dict[str, Any]:
        """Return what a record tells of the machines: whether one is contended, and each one's kind."""
        hosts = self._gather(socket.gethostname())
        threads = [
            replica.threads * (replica.device == "cpu") for replica in self.platform.replicas
        ]
        here = sum(n for n, host in zip(threads, hosts, strict=True) if host == hosts[self.rank])
        machine = environment()
        contended = any(self._gather(here > machine["cores"]))
        kept = {name: machine[name] for name in ("processor", "gpu", "cores")}
        machines = self._gather(kept | {"number": hosts.index(hosts[self.rank])})
        return {"contended": contended, "machines": machines}

    def close(self, *, force: bool = False) -> None:
        """Leave the job."""
        if dist.is_initialized():
            dist.destroy_process_group()
            # as in `hetlib.balanced.wrapper`: gloo's threads let go of the last backward pass a little later
            time.sleep(0.1)


def one_clock(results: list[Any], rank: int) -> list[Any]:
    """Shift the time stamps in the results of `train_replica` to this rank's clock, or the first active one's.

    Each machine's clock counts from its own start. All replicas leave the exchange of gradients at
    the same time.
    """
    trained = [result for result in results if isinstance(result, dict) and "stamps" in result]
    if trained:
        clock = (results[rank] or trained[0])["stamps"][:, 2].copy()
        for result in trained:
            result["stamps"] = result["stamps"] - np.median(result["stamps"][:, 2] - clock)
    return results
