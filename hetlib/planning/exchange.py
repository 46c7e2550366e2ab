"""Compute times that every replica tells all others while it trains, some steps at a time."""

from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.distributed as dist

from hetlib.balanced.schedule import Shares

MESSAGE = 5  # steps that the replicas tell each other about at a time


class Message(NamedTuple):
    """Some steps as all replicas saw them: samples and compute seconds, ``(steps, replicas)``."""

    counts: Sequence[Shares]
    seconds: Sequence[Sequence[float]]


class _Sent(NamedTuple):
    """A message on its way: samples, seconds ``(steps, replicas)``, and what to wait for."""

    counts: Sequence[Shares]
    seconds: torch.Tensor
    handle: dist.Work


class Exchange:
    """Tells all replicas the compute times of each, some steps at a time.

    A message is the sum of what the replicas send, each its own column. It is sent after a backward
    pass and read after the next one, so nobody waits for it. Lists, one buffer, and nothing asked
    twice: in caches that a step left cold, ten calls of numpy take 0.2 ms.

    Args:
        replicas: How many there are.
    """

    def __init__(self, replicas: int) -> None:
        """Lay out the one buffer that all messages are sent from."""
        self._replicas = replicas
        self._zeros = array("d", [0.0] * (MESSAGE * replicas))
        self._buffer = array("d", self._zeros)
        flat = torch.frombuffer(self._buffer, dtype=torch.float64)
        self._shared = flat.view(MESSAGE, replicas)
        self._rank = lru_cache(dist.get_rank)
        self._backend = lru_cache(dist.get_backend)
        self._counts: list[Shares] = []  # of the steps not sent yet
        self._seconds: list[float] = []  # this replica's in them
        self._sent: _Sent | None = None

    def step(
        self, counts: Shares, seconds: float, group: dist.ProcessGroup | None
    ) -> Message | None:
        """Note a step; every fifth sends what was noted, and the step after it returns that.

        Args:
            counts: Samples of each replica.
            seconds: That this replica computed for.
            group: Processes that train; ``None`` is all.

        Returns:
            What all replicas have sent, where there is a message to read in this step.
        """
        self._counts.append(counts)
        self._seconds.append(seconds)
        if len(self._counts) == MESSAGE:
            self._sent = self._send(group)
            self._counts = []
            self._seconds = []
            return None
        if len(self._counts) == 1 and self._sent:
            self._sent.handle.wait()
            return Message(self._sent.counts, self._sent.seconds.tolist())
        return None

    def _send(self, group: dist.ProcessGroup | None) -> _Sent:
        """Begin to sum the columns of all replicas."""
        self._buffer[:] = self._zeros
        column = self._rank(group)
        self._buffer[column :: self._replicas] = array("d", self._seconds)
        sent = self._shared
        if self._backend(group) == "nccl":
            sent = sent.to("cuda")
        everyone = group or dist.group.WORLD
        assert everyone is not None  # without a job there was no rank
        # called directly: dist.all_reduce takes longer
        handle = everyone.allreduce([sent])
        return _Sent(self._counts, sent, handle)
