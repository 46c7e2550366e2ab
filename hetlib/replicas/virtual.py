"""All replicas in this process, on one copy of the weights."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from hetlib.replicas.platform import Platform, require_platform


@dataclass(frozen=True)
class VirtualReplicas:
    """Replicas of a platform in this process, on one copy of the weights.

    They compute on the GPU that all of them are on, where torch sees it, else on the CPU.
    Gradients, buffers and scores equal the processes' to rounding, but for draws of layers such as
    dropout. No times.

    Attributes:
        platform: The replicas, in the order of their ranks.
        rank: None: this process is all of them.
        timed: False: no clock sees one replica by itself.
    """

    platform: Platform
    rank: ClassVar[int | None] = None
    timed: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_platform(self.platform)

    def about(self) -> dict[str, Any]:
        """Return what a record says of the machines beside `hetlib.environment.environment`."""
        return {"contended": self.platform.contended}

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call ``function(None, *arguments)`` once, for all replicas.

        It has the first replica's threads; the caller's threads and random state stay.

        Args:
            function: What all do in one pass.
            arguments: Of the function.

        Returns:
            A list with the one result.
        """
        gpus: list[int] = []
        if torch.cuda.is_initialized():
            gpus = list(range(torch.cuda.device_count()))
        with torch.random.fork_rng(devices=gpus), contextlib.ExitStack() as stack:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(self.platform.replicas[0].threads)
            return [function(None, *arguments)]
