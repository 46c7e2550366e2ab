"""CNNs by name, for any number of bands and windows from 16 x 16 pixels."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from .batchnorm import ALONE, convert_batchnorm

__all__ = ["MODELS", "build_model"]

_SMALLEST_MAP = 2  # pixels: with one sample and a 1 x 1 map, BatchNorm has nothing to take statistics of


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)


_BATCH: Mapping[str, Callable[[int], nn.Module]] = dict.fromkeys(("batch", "balanced", "pooled"), nn.BatchNorm2d)
NORMS = {"group": _group_norm, **_BATCH}


def _small_cnn(bands: int, classes: int, size: int, norm: Callable[[int], nn.Module]) -> nn.Module:
    """Return three convolutions of 32, 64 and 128 channels with pooling between them (0.1 M parameters)."""
    layers: list[nn.Module] = []
    before = bands
    for channels in (32, 64, 128):
        layers += [nn.Conv2d(before, channels, 3, padding=1, bias=False)]
        layers += [nn.MaxPool2d(2)] if channels < 128 else []  # before norm and ReLU, which then see a quarter
        layers += [norm(channels), nn.ReLU(inplace=True)]
        before = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def _torchvision(name: str, bands: int, classes: int, size: int, **options: Any) -> nn.Module:
    import torchvision

    model = getattr(torchvision.models, name)(weights=None, num_classes=classes, **options)
    path, first = next((p, m) for p, m in model.named_modules() if isinstance(m, nn.Conv2d))
    settings = {key: getattr(first, key) for key in ("kernel_size", "stride", "padding")}
    parent, _, attribute = path.rpartition(".")
    first = nn.Conv2d(bands, first.out_channels, bias=first.bias is not None, **settings)
    nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
    setattr(model.get_submodule(parent), attribute, first)
    if name == "vgg11":  # its 4,096-wide classifier is made for 7 x 7 maps of photographs
        model.avgpool, model.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, classes)
    _keep_resolution(model, size)
    return model


def _keep_resolution(model: nn.Module, size: int) -> None:
    """Take out the first reductions of a net made for large photographs until ``_SMALLEST_MAP`` pixels remain."""
    reducing = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
    chain = [
        (path, m)
        for path, m in model.named_modules()
        if isinstance(m, reducing) and m.stride in (2, (2, 2)) and "downsample" not in path
    ]
    while chain and size // 2 ** len(chain) < _SMALLEST_MAP:
        path, module = chain.pop(0)
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
        else:
            parent, _, attribute = path.rpartition(".")
            setattr(model.get_submodule(parent), attribute, nn.Identity())


# Name: builder, and the norms that it offers (the first is the default).
MODELS: Mapping[str, tuple[Callable[..., nn.Module], tuple[str, ...]]] = {
    "smallcnn": (_small_cnn, ("group", *_BATCH)),
    "resnet18": (partial(_torchvision, "resnet18"), (*_BATCH, "group")),
    "vgg11": (partial(_torchvision, "vgg11"), ()),
    "mobilenet_v3_small": (partial(_torchvision, "mobilenet_v3_small"), (*_BATCH, "group")),
    "densenet121": (partial(_torchvision, "densenet121"), (*_BATCH,)),
}


def build_model(name: str, *, bands: int, classes: int, size: int, seed: int = 0, norm: str | None = None) -> nn.Module:
    """Build a CNN with random weights.

    Args:
        name: A name in `MODELS`.
        bands: Input channels.
        classes: Outputs.
        size: Height and width of the images in pixels, at least 16.
        seed: Seed of the weights; the same on every replica gives the same weights.
        norm: Where the network offers it ``"group"``, or ``"batch"``: a replica's outputs depend on which samples
            share its local batch. ``"pooled"`` is the same, and `train` pools its running statistics; ``"balanced"``
            takes the global batch's, once `convert_batchnorm` has named the replicas. ``None`` is the default.

    Returns:
        The network, ``(n, bands, size, size)`` to ``(n, classes)``.
    """
    if name not in MODELS:
        raise ValueError(f"`name` is {name!r}; known models are {sorted(MODELS)}.")
    builder, norms = MODELS[name]
    if norm is not None and norm not in norms:
        raise ValueError(f"`norm` is {norm!r}; {name} offers {norms or 'no choice'}.")
    if size < 16:
        raise ValueError(f"`size` is {size}; images must be at least 16 pixels wide.")
    options: dict[str, Any] = {}
    if "group" in norms:
        key = "norm" if name == "smallcnn" else "norm_layer"
        options[key] = NORMS[norm or norms[0]]
        if name == "mobilenet_v3_small" and options[key] is nn.BatchNorm2d:
            del options[key]  # torchvision's own default has another eps and momentum
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = builder(bands, classes, size, **options)
    return convert_batchnorm(model, ALONE) if norm == "balanced" else model
