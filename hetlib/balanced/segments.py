"""A batch whose samples belong to segments, one after another: sums over each, and the way back.

Segments are the local batches of virtual replicas. What says where each begins and to which one a
sample belongs is made once for all steps of the same local batches.
"""

from functools import lru_cache
from typing import NamedTuple

import torch


class Values(NamedTuple):
    """How many values a channel has, m, in each segment or all together, and what follows from it.

    Attributes:
        number: m.
        negative: -m.
        unbiased: m / (m - 1), which makes a variance with m - 1 of one with m.
    """

    number: torch.Tensor
    negative: torch.Tensor
    unbiased: torch.Tensor

    @classmethod
    def of(cls, number: torch.Tensor) -> "Values":
        """Return what belongs to so many values."""
        return cls(number, -number, number / (number - 1))


class Segments:
    """What depends on the segments of a batch alone, with its sums over them and the way back.

    Args:
        counts: Samples of each segment.
        size: Of the batch, ``(n, channels, ...)``.
        device: Of the batch.
        dtype: Of the batch.

    Attributes:
        shape: Of the batch, with 1 for each pixel and -1 for the samples.
        fewest: Values a channel of the smallest segment.
        values: Of each segment, at least 1, ``(segments, 1)``.
    """

    def __init__(
        self,
        counts: tuple[int, ...],
        size: torch.Size,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        samples = torch.tensor(counts, device=device)
        pixels = size[2:].numel()
        self.shape = (-1, size[1], *[1] * (len(size) - 2))
        self.fewest = min(counts) * pixels
        number = (samples * pixels).clamp(min=1)
        self.values = Values.of(number[:, None].to(dtype))

        self._is_one = len(counts) == 1
        self._over_pixels = tuple(range(2, len(size)))
        # segment of each sample; with the sum given, no GPU is asked for it
        self._owner = torch.repeat_interleave(samples, output_size=size[0])
        self._number = torch.arange(size[0], device=device)  # of each sample
        self._first = samples.cumsum(0) - samples  # sample of each segment

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sum ``(n, channels, ...)`` over samples and pixels of a segment.

        Returns:
            ``(segments, channels)``.
        """
        each = values
        if self._over_pixels:
            each = values.sum(self._over_pixels)
        if self._is_one:
            return each.sum(0, True)
        return torch.embedding_bag(each, self._number, self._first)[0]

    def spread(self, numbers: torch.Tensor) -> torch.Tensor:
        """Give each sample the ``(segments, channels)`` of its segment.

        Returns:
            ``(n, channels, 1, ...)``, or ``(1, channels, 1, ...)`` for one segment: what a batch
            can be computed with.
        """
        if self._is_one:
            return numbers.view(self.shape)
        return numbers.index_select(0, self._owner).view(self.shape)


@lru_cache(maxsize=64)  # layers of one size share it, step after step
def segments_of(
    counts: tuple[int, ...],
    size: torch.Size,
    device: torch.device,
    dtype: torch.dtype,
) -> Segments:
    """Return the `Segments` with these arguments, the same object each time."""
    return Segments(counts, size, device, dtype)
