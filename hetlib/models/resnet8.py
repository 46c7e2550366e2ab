"""A thin ResNet for images of 32 to 64 pixels."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from hetlib.models.entry import BATCH, Entry, group_norm

_CHANNELS = (16, 32, 64)  # of the three blocks; each but the first halves the sides


class Block(nn.Module):
    """Two convolutions, and a way around them (He et al., CVPR 2016)."""

    def __init__(
        self,
        before: int,
        after: int,
        stride: int,
        normalize: Callable[[int], nn.Module],
    ):
        """Make a block.

        Args:
            before: Channels that come in.
            after: Channels that go out.
            stride: Of the first convolution and of the way around.
            normalize: Makes a norm for a number of channels.
        """
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.first_norm = normalize(after)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.second_norm = normalize(after)
        self.around: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.around = nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the block's output.

        Args:
            values: (n, before, height, width).
        """
        inner = F.relu(self.first_norm(self.first(values)))
        inner = self.second_norm(self.second(inner))
        return F.relu(inner + self.around(values))


def resnet8(
    *,
    bands: int,
    classes: int,
    size: int,
    norm: str | None,
) -> nn.Module:
    """Return a ResNet of three blocks with 16, 32 and 64 channels: 0.08 M parameters.

    Args:
        bands: Channels of the images.
        classes: Outputs.
        size: Pixels of a side; it takes any from 4.
        norm: ``"group"``, which None is too, or one of `BATCH`.
    """
    normalize: Callable[[int], nn.Module] = nn.BatchNorm2d
    if norm in (None, "group"):
        normalize = group_norm
    before = _CHANNELS[0]
    layers: list[nn.Module] = [
        nn.Conv2d(bands, before, 3, padding=1, bias=False),
        normalize(before),
        nn.ReLU(inplace=True),
    ]
    for channels in _CHANNELS:
        stride = 1 if channels == before else 2
        layers.append(Block(before, channels, stride, normalize))
        before = channels
    return nn.Sequential(
        *layers,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(before, classes),
    )


ENTRIES = (Entry("resnet8", ("group", *BATCH), resnet8),)
