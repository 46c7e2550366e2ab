"""A small CNN for small windows."""

from collections.abc import Callable

from torch import nn

from hetlib.models.entry import BATCH, Entry, group_norm

_CHANNELS = (32, 64, 128)  # of the three convolutions


def small_cnn(
    *,
    bands: int,
    classes: int,
    size: int,
    norm: str | None,
) -> nn.Module:
    """Return three convolutions of 32, 64 and 128 channels with pooling between them.

    It has 0.1 M parameters.

    Args:
        bands: Channels of the images.
        classes: Outputs.
        size: Pixels of a side; it takes any from 4.
        norm: ``"group"``, which None is too, or one of `BATCH`.
    """
    normalize: Callable[[int], nn.Module] = nn.BatchNorm2d
    if norm in (None, "group"):
        normalize = group_norm
    layers: list[nn.Module] = []
    before = bands
    for channels in _CHANNELS:
        layers.append(nn.Conv2d(before, channels, 3, padding=1, bias=False))
        if channels != _CHANNELS[-1]:
            # before norm and ReLU, which then see a quarter
            layers.append(nn.MaxPool2d(2))
        layers.append(normalize(channels))
        layers.append(nn.ReLU(inplace=True))
        before = channels
    return nn.Sequential(
        *layers,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(before, classes),
    )


ENTRIES = (Entry("smallcnn", ("group", *BATCH), small_cnn),)
