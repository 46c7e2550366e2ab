"""What a file of this folder says of its CNNs, and the norms that they share."""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

from torch import nn

# Norms by the statistics of a batch, and what is done with those of several replicas.
BATCH = ("batch", "balanced", "pooled")

# A norm of each sample by itself, in groups of channels: takes a number of channels.
group_norm = partial(nn.GroupNorm, 8)


class Build(Protocol):
    """A function that builds a CNN with random weights."""

    def __call__(
        self,
        *,
        bands: int,
        classes: int,
        size: int,
        norm: str | None,
    ) -> nn.Module:
        """Return a network from ``(n, bands, size, size)`` to ``(n, classes)``.

        Args:
            bands: Channels of the images.
            classes: Outputs.
            size: Pixels of a side, at least the entry's `least_size`.
            norm: One of the entry's; None is the first of them, or the network's own.
        """


@dataclass(frozen=True)
class Entry:
    """A CNN that `hetlib.models.build_model` knows.

    Attributes:
        name: By which it is asked for.
        norms: Those that it offers, the default first; none where there is no choice.
        build: Builds it.
        least_size: Pixels of a side that it needs.
    """

    name: str
    norms: tuple[str, ...]
    build: Build
    least_size: int = 16
