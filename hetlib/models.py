"""CNNs by name, for any number of bands and windows from 16 x 16 pixels."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import nn

from .batchnorm import ALONE, convert_batchnorm

BATCH = ("batch", "balanced", "pooled")
# Networks, and the norms that each offers (the first is the default).
MODELS: Mapping[str, tuple[str, ...]] = {
    "smallcnn": ("group", *BATCH),
    "resnet18": (*BATCH, "group"),
    "vgg11": (),
    "mobilenet_v3_small": (*BATCH, "group"),
    "densenet121": BATCH,
}
_group_norm = partial(nn.GroupNorm, 8)


def _small_cnn(bands: int, classes: int, size: int, norm: str | None) -> nn.Module:
    """Return three convolutions of 32, 64 and 128 channels with pooling between them (0.1 M parameters)."""
    normalize: Callable[[int], nn.Module] = (
        _group_norm if norm in (None, "group") else nn.BatchNorm2d
    )
    layers: list[nn.Module] = []
    for before, channels in ((bands, 32), (32, 64), (64, 128)):
        # before norm and ReLU, which then see a quarter
        pool = [nn.MaxPool2d(2)] if channels < 128 else []
        convolution = nn.Conv2d(before, channels, 3, padding=1, bias=False)
        layers += [convolution, *pool, normalize(channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, classes))


def _torchvision(name: str, bands: int, classes: int, size: int, norm: str | None) -> nn.Module:
    import torchvision

    # Without an option a network has its own BatchNorm; eps and momentum differ.
    options = {"norm_layer": _group_norm} if norm == "group" else {}
    model = torchvision.models.get_model(name, weights=None, num_classes=classes, **options)
    path, first = next((p, m) for p, m in model.named_modules() if isinstance(m, nn.Conv2d))
    settings = {key: getattr(first, key) for key in ("kernel_size", "stride", "padding")}
    first = nn.Conv2d(bands, first.out_channels, bias=first.bias is not None, **settings)
    nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
    model.set_submodule(path, first)
    if name == "vgg11":  # its 4,096-wide classifier is made for 7 x 7 maps of photographs
        model.avgpool, model.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, classes)
    # The first reductions, for large photographs, go until 2 x 2 pixels remain: BatchNorm needs
    # more than one value.
    main = ((path, m) for path, m in model.named_modules() if "downsample" not in path)
    layers = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
    reducing = [(path, m) for path, m in main if isinstance(m, layers) and m.stride in (2, (2, 2))]
    while reducing and size // 2 ** len(reducing) < 2:
        path, module = reducing.pop(0)
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
        else:
            model.set_submodule(path, nn.Identity())
    return model


def build_model(
    name: str, *, bands: int, classes: int, size: int, seed: int = 0, norm: str | None = None
) -> nn.Module:
    """Build a CNN of `MODELS` with random weights: ``(n, bands, size, size)`` to ``(n, classes)``, size >= 16 pixels.

    The same ``seed`` gives the same weights on every replica. ``norm`` is, where the network offers
    it, ``"group"``, or ``"batch"``: a replica's outputs depend on which samples share its local
    batch. ``"pooled"`` is the same, with running statistics pooled by `train`; ``"balanced"`` takes
    the global batch's, once `convert_batchnorm` has named the replicas. ``None`` is the network's
    default.
    """
    if name not in MODELS:
        raise ValueError(f"`name` is {name!r}; known models are {sorted(MODELS)}.")
    if norm is not None and norm not in MODELS[name]:
        raise ValueError(f"`norm` is {norm!r}; {name} offers {MODELS[name] or 'no choice'}.")
    if size < 16:
        raise ValueError(f"`size` is {size}; images must be at least 16 pixels wide.")
    build = _small_cnn if name == "smallcnn" else partial(_torchvision, name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(bands, classes, size, norm)
    return convert_batchnorm(model, ALONE) if norm == "balanced" else model
