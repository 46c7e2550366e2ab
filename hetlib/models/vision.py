"""The CNNs of torchvision, fitted to any number of bands and to small windows."""

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from hetlib.errors import require
from hetlib.models.entry import BATCH, Entry, group_norm

_VGG_CHANNELS = 512  # of vgg11's last convolution
_LEAST_PIXELS = 2  # of a side that must remain: BatchNorm needs more than one value
_WITH_SECOND_OUTPUTS = ("googlenet", "inception_v3")  # in training, for losses in mid-network
_REDUCERS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


def torchvision_cnn(
    name: str,
    *,
    bands: int,
    classes: int,
    size: int,
    norm: str | None,
    **more: Any,
) -> nn.Module:
    """Return a network of torchvision with random weights.

    It is fitted to small images where it still works then.

    Args:
        name: By which torchvision knows it.
        bands: Channels of the images.
        classes: Outputs.
        size: Pixels of a side, at least 16.
        norm: ``"group"`` for GroupNorm; else the network's own.
        more: Further arguments of the network.

    Raises:
        MissingDependencyError: torchvision is not installed.
    """
    torchvision = require("torchvision", "vision")
    # Without an option a network has its own BatchNorm; eps and momentum differ.
    options: dict[str, Any] = dict(more)
    if norm == "group":
        options["norm_layer"] = group_norm
    if name in _WITH_SECOND_OUTPUTS:
        options = {"aux_logits": False, "init_weights": True, **options}
    model: nn.Module = torchvision.models.get_model(
        name, weights=None, num_classes=classes, **options
    )
    _take_bands(model, bands)
    if name == "vgg11":
        _end_small(model, classes)
    if name in _FITTED:
        _keep_pixels(model, size)
        return model
    as_it_is = copy.deepcopy(model)
    _keep_pixels(model, size)
    return model if _works(model, bands, size) else as_it_is


def _works(model: nn.Module, bands: int, size: int) -> bool:
    """Return whether images go through a network; branches may end in maps of unequal size."""
    model.eval()
    try:
        with torch.no_grad():
            model(torch.zeros(1, bands, size, size))
    except RuntimeError:
        return False
    finally:
        model.train()
    return True


def _take_bands(model: nn.Module, bands: int) -> None:
    """Put a first convolution in place that takes so many channels."""
    path, first = next(_layers(model, (nn.Conv2d,)))
    convolution = nn.Conv2d(
        bands,
        first.out_channels,
        kernel_size=first.kernel_size,
        stride=first.stride,
        padding=first.padding,
        bias=first.bias is not None,
    )
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    model.set_submodule(path, convolution)


def _end_small(model: nn.Module, classes: int) -> None:
    """End vgg11 as a small CNN: its 4,096-wide classifier is made for 7 x 7 maps of photographs."""
    model.avgpool = nn.AdaptiveAvgPool2d(1)
    model.classifier = nn.Linear(_VGG_CHANNELS, classes)


def _keep_pixels(model: nn.Module, size: int) -> None:
    """Take out the first reductions, for large photographs, until 2 x 2 pixels remain."""
    reducing = []
    for path, layer in _layers(model, _REDUCERS):
        # shortcuts are reduced where their block is
        if "downsample" not in path and layer.stride in (2, (2, 2)):
            reducing.append((path, layer))
    while reducing and size // 2 ** len(reducing) < _LEAST_PIXELS:
        path, layer = reducing.pop(0)
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)
        else:
            model.set_submodule(path, nn.Identity())


def _layers(
    model: nn.Module,
    kinds: tuple[type[nn.Module], ...],
) -> Iterator[tuple[str, Any]]:
    """Yield the path and the layer for each of these kinds, in the order of the network."""
    for path, layer in model.named_modules():
        if isinstance(layer, kinds):
            yield path, layer


def _entry(name: str, *norms: str) -> Entry:
    return Entry(name, norms, partial(torchvision_cnn, name))


ENTRIES = (
    _entry("resnet18", *BATCH, "group"),
    _entry("vgg11"),
    _entry("mobilenet_v3_small", *BATCH, "group"),
    _entry("densenet121", *BATCH),
)
_FITTED = tuple(entry.name for entry in ENTRIES)  # known to work at any size
