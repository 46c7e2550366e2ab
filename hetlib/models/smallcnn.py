"""A small CNN for small windows."""

from collections.abc import Callable
from functools import partial

from torch import nn

group_norm = partial(nn.GroupNorm, 8)


def small_cnn(bands: int, classes: int, size: int, norm: str | None) -> nn.Module:
    """Return three convolutions of 32, 64 and 128 channels with pooling between them (0.1 M parameters)."""
    normalize: Callable[[int], nn.Module] = (
        group_norm if norm in (None, "group") else nn.BatchNorm2d
    )
    layers: list[nn.Module] = []
    for before, channels in ((bands, 32), (32, 64), (64, 128)):
        # before norm and ReLU, which then see a quarter
        pool = [nn.MaxPool2d(2)] if channels < 128 else []
        convolution = nn.Conv2d(before, channels, 3, padding=1, bias=False)
        layers += [convolution, *pool, normalize(channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, classes))
