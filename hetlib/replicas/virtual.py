"""All replicas in this process, on one copy of the weights."""

import contextlib
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from hetlib.replicas.platform import Platform


@dataclass(frozen=True)
class VirtualReplicas:
    """Replicas of a platform in this process, on one copy of the weights.

    Gradients, buffers and scores equal the processes' to rounding, but for draws of layers such as
    dropout. No times.
    """

    platform: Platform
    rank: ClassVar[int | None] = None
    timed: ClassVar[bool] = False

    def about(self) -> dict[str, Any]:
        """Return what a record says of the machines beside `hetlib.environment.environment`."""
        return {"contended": self.platform.contended}

    def run(self, function: Any, *arguments: Any) -> list[Any]:
        """Call ``function(None, *arguments)`` once, for all replicas, with the first one's threads."""
        with torch.random.fork_rng(devices=[]), contextlib.ExitStack() as stack:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(self.platform.replicas[0].threads)
            return [function(None, *arguments)]
