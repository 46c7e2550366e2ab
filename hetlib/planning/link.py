"""How fast replicas exchange gradients: what a stored plan knows of its network."""

import time
from dataclasses import dataclass

import torch
import torch.distributed as dist

from hetlib.inputs import keep, number
from hetlib.planning.race import WORTH
from hetlib.planning.ranks import gather

_SMALL = 8  # bytes: what one number takes is the delay of the link

_LARGE = 2**20  # bytes, for its rate

_TURNS = 5  # at most; the fastest counts, as other work on a machine only ever adds

_SECONDS = 0.05  # after which there is no further turn

# Times between which nothing is told apart: on a loaded machine the fastest of few exchanges comes
# out up to twice as slow as on an idle one.
_NOISE = 4.0


@dataclass(frozen=True)
class Link:
    """Seconds of an all-reduce among all replicas of a job.

    Attributes:
        small: Of 8 bytes.
        large: Of 1 MB.

    Raises:
        ValueError: One is no number > 0.
    """

    small: float
    large: float

    def __post_init__(self) -> None:
        """Check the fields."""
        small = number("small", self.small, above=0)
        keep(self, small=small, large=number("large", self.large, above=0))

    def seconds(self, size: int) -> float:
        """Return the seconds of an all-reduce, on a line through both sizes.

        Args:
            size: In bytes.
        """
        rate = max(self.large - self.small, 0.0) / (_LARGE - _SMALL)
        return self.small + rate * size

    def or_faster(self, other: "Link") -> "Link":
        """Return the faster times of two measurements of one link: other work only adds to them.

        Args:
            other: The link, timed again.
        """
        return Link(min(self.small, other.small), min(self.large, other.large))

    def differs(self, other: "Link", size: int, step: float) -> bool:
        """Return whether another link would make other steps: more than noise, and enough to tell.

        Args:
            other: The link of another time.
            size: Bytes that a step exchanges.
            step: Seconds of a step.
        """
        own = self.seconds(size)
        others = other.seconds(size)
        times = max(own, others) / min(own, others)
        return times > _NOISE and abs(own - others) > WORTH * step


def measured_link(device: torch.device) -> Link | None:
    """Time the link among all replicas; every rank has to call it.

    It takes less than 0.1 s, or three exchanges where those take longer.

    Args:
        device: Of this rank's gradients.

    Returns:
        The link, the same on all ranks; ``None`` for one replica.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return None
    begin = time.perf_counter()
    _exchange(_LARGE, device)  # the first one lays out buffers
    fastest = [float("inf"), float("inf")]
    for _ in range(_TURNS):
        for place, size in enumerate((_SMALL, _LARGE)):
            gather(None)  # all begin together
            fastest[place] = min(fastest[place], _exchange(size, device))
        spent = gather(time.perf_counter() - begin)
        if max(spent) > _SECONDS:
            break
    small, large = map(max, zip(*gather(fastest), strict=True))
    return Link(small, large)


def _exchange(size: int, device: torch.device) -> float:
    """Return the seconds of an all-reduce of so many bytes."""
    part = torch.zeros(size, dtype=torch.uint8, device=device)
    begin = time.perf_counter()
    dist.all_reduce(part)
    part.sum().item()  # where it runs on a GPU's stream, here is its end
    return time.perf_counter() - begin
