"""EfficientNet-Lite0 as it is fine-tuned: whole, or its last block with what comes after it.

A run names it as ``hetlib_bundle.studies.tuned:network``. What this file holds is part of a run's
fingerprint.
"""

import hashlib
from functools import cache
from typing import Self

import torch
from torch import nn

from hetlib.errors import MissingDependencyError
from hetlib.inputs import one_of
from hetlib.models.lite0 import (
    MIDDLE,
    SPREAD,
    EfficientNetLite0,
    pretrained_lite0,
    weights_file,
)

WHOLE = "whole"
LAST_BLOCK = "last block"
PARTS = (WHOLE, LAST_BLOCK)

# Batch statistics: what `hetlib.build_model` knows, and those of ImageNet, which stay.
FROZEN = "frozen"
NORMS = ("batch", "balanced", "pooled", FROZEN)

# Red, green and blue of ImageNet's photographs, from 0 to 255: means and deviations.
PHOTOGRAPHS = (123.7, 116.3, 103.5)
DEVIATIONS = (58.4, 57.1, 57.4)

# What the layers that are not trained make of an image, by the SHA-256 of its pixels, with
# ImageNet's weights.
_seen: dict[bytes, torch.Tensor] = {}


def weights_found() -> bool:
    """Say whether the package that brings ImageNet's weights is installed."""
    try:
        weights_file()
    except MissingDependencyError:
        return False
    return True


@cache
def _pretrained() -> dict[str, torch.Tensor]:
    """Return ImageNet's weights, but for those of its 1,000 classes."""
    found = pretrained_lite0().state_dict()
    return {name: values for name, values in found.items() if not name.startswith("_fc.")}


class Tuned(EfficientNetLite0):
    """EfficientNet-Lite0 of which a part is trained; the rest sees each image once and remembers.

    Layers that are not trained have the running statistics of their first weights.
    """

    def __init__(self, classes: int, part: str, *, frozen: bool, pretrained: bool):
        """Make the network.

        Args:
            classes: Outputs.
            part: That is trained, of `PARTS`.
            frozen: Whether statistics, scales and shifts stay as they are in that part, too.
            pretrained: Whether it begins with ImageNet's weights; else with random ones.
        """
        super().__init__(len(PHOTOGRAPHS), classes)
        self.part = part
        self._memory: dict[bytes, torch.Tensor] = _seen if pretrained else {}
        if pretrained:
            self.load_state_dict(_pretrained(), strict=False)
        self._fixed: list[nn.Module] = []
        if part == LAST_BLOCK:
            self._fixed += self.beginning()
        if frozen:
            self._fixed += [layer for layer in self.modules() if isinstance(layer, nn.BatchNorm2d)]
        for layer in self._fixed:
            layer.requires_grad_(False)
        middle = (torch.tensor(PHOTOGRAPHS) - MIDDLE) / SPREAD
        deviation = torch.tensor(DEVIATIONS) / SPREAD
        self.middle = nn.Buffer(middle[:, None, None], persistent=False)
        self.deviation = nn.Buffer(deviation[:, None, None], persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Set training mode in the part that is trained.

        Args:
            mode: True to train.
        """
        super().train(mode)
        for layer in self._fixed:
            layer.eval()
        return self

    def early(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the last block sees of standardised images.

        Args:
            images: (n, 3, height, width), each band with mean 0 and deviation 1.
        """
        photographs = images * self.deviation + self.middle
        if self.part == WHOLE:
            return super().early(photographs)
        return torch.stack([self._remembered(photograph) for photograph in photographs])

    @torch.no_grad()
    def _remembered(self, photograph: torch.Tensor) -> torch.Tensor:
        """Return what the last block sees of one image, whatever images come beside it."""
        pixels = photograph.cpu().contiguous().numpy()
        name = hashlib.sha256(pixels.tobytes()).digest()
        if name not in self._memory:
            self._memory[name] = super().early(photograph[None])[0]
        return self._memory[name]


def network(
    bands: int,
    classes: int,
    norm: str | None = None,
    part: str = WHOLE,
    pretrained: bool = True,
) -> nn.Module:
    """Return the network that a run trains.

    Args:
        bands: Channels of the images: red, green and blue.
        classes: Outputs.
        norm: Whose statistics its BatchNorm layers take, of `NORMS`; None: "batch".
        part: That is trained, of `PARTS`.
        pretrained: Whether it begins with ImageNet's weights.

    Raises:
        ValueError: It is not one of those, or the images have other bands.
    """
    one_of("part", part, PARTS)
    one_of("norm", norm or NORMS[0], NORMS)
    if bands != len(PHOTOGRAPHS):
        raise ValueError(
            f"the images have {bands} bands; allowed are red, green and blue: name three in "
            "`dataset_options`, such as {'bands': ['B04', 'B03', 'B02']}."
        )
    return Tuned(classes, part, frozen=norm == FROZEN, pretrained=pretrained)
