"""CNNs for hyperspectral pixels and windows."""

import torch
from torch import nn

from hetlib.models.entry import Entry, group_norm

_CHANNELS = (16, 32, 64)  # of the convolutions over bands; each halves their number
_BANDS_SEEN = 7  # by a filter

_DEPTHS = (8, 16)  # channels of the convolutions over bands and pixels
_WIDTH = 64  # channels of the convolution over pixels that follows


class CentrePixel(nn.Module):
    """Takes the spectrum in the middle of a window."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (n, 1, bands).

        Args:
            images: (n, bands, height, width).
        """
        row = images.shape[2] // 2
        column = images.shape[3] // 2
        return images[:, None, :, row, column]


class AsVolume(nn.Module):
    """Gives images a channel, so that bands are an axis to convolve over."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (n, 1, bands, height, width).

        Args:
            images: (n, bands, height, width).
        """
        return images[:, None]


def spectral_cnn(
    *,
    bands: int,
    classes: int,
    size: int,
    norm: str | None,
) -> nn.Module:
    """Return a 1-D CNN over the bands of the centre pixel.

    Args:
        bands: Of the images, any number.
        classes: Outputs.
        size: Pixels of a side, any; only the one in the middle is read.
        norm: ``"group"``, which None is too.
    """
    layers: list[nn.Module] = [CentrePixel()]
    before = 1
    for channels in _CHANNELS:
        layers.append(
            nn.Conv1d(before, channels, _BANDS_SEEN, 2, padding=_BANDS_SEEN // 2, bias=False)
        )
        layers.append(group_norm(channels))
        layers.append(nn.ReLU(inplace=True))
        before = channels
    return nn.Sequential(
        *layers,
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(before, classes),
    )


def spectral_spatial_cnn(
    *,
    bands: int,
    classes: int,
    size: int,
    norm: str | None,
) -> nn.Module:
    """Return convolutions over bands and pixels, then over pixels alone.

    The order of Roy et al.'s HybridSN (IEEE GRSL, 2020), thinner.

    Args:
        bands: Of the images, any number.
        classes: Outputs.
        size: Pixels of a side, any.
        norm: ``"group"``, which None is too.
    """
    layers: list[nn.Module] = [AsVolume()]
    before = 1
    left = bands
    for channels in _DEPTHS:
        layers.append(
            nn.Conv3d(
                before,
                channels,
                (_BANDS_SEEN, 3, 3),
                stride=(2, 1, 1),
                padding=(_BANDS_SEEN // 2, 1, 1),
                bias=False,
            )
        )
        layers.append(group_norm(channels))
        layers.append(nn.ReLU(inplace=True))
        before = channels
        left = -(-left // 2)
    return nn.Sequential(
        *layers,
        nn.Flatten(1, 2),
        nn.Conv2d(before * left, _WIDTH, 3, padding=1, bias=False),
        group_norm(_WIDTH),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(_WIDTH, classes),
    )


ENTRIES = (
    Entry("spectral", ("group",), spectral_cnn, least_size=1),
    Entry("spectral_spatial", ("group",), spectral_spatial_cnn, least_size=1),
)
