"""CNNs by name, for any number of bands and windows from 16 x 16 pixels."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import nn

from hetlib.balanced.batchnorm import convert_batchnorm
from hetlib.balanced.normalize import ALONE
from hetlib.models.smallcnn import small_cnn
from hetlib.models.vision import torchvision_cnn

BATCH = ("batch", "balanced", "pooled")


# Networks, and the norms that each offers (the first is the default).
MODELS: Mapping[str, tuple[str, ...]] = {
    "smallcnn": ("group", *BATCH),
    "resnet18": (*BATCH, "group"),
    "vgg11": (),
    "mobilenet_v3_small": (*BATCH, "group"),
    "densenet121": BATCH,
}


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
    build = small_cnn if name == "smallcnn" else partial(torchvision_cnn, name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(bands, classes, size, norm)
    return convert_batchnorm(model, ALONE) if norm == "balanced" else model
