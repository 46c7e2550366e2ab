"""CNNs by name, for any number of bands and windows from 16 x 16 pixels."""

import importlib
import pkgutil
from collections.abc import Mapping

import torch
from torch import nn

import hetlib.models as folder
from hetlib.balanced.batchnorm import convert_batchnorm
from hetlib.balanced.normalize import ALONE
from hetlib.models.entry import BATCH, Entry

__all__ = ["BATCH", "MODELS", "build_model"]

_NO_CNNS = ("entry", "registry")  # files of this folder


def _collect() -> dict[str, Entry]:
    """Return the entries of all files in this folder by name, in the order of the files' names."""
    found: dict[str, Entry] = {}
    for file in pkgutil.iter_modules(folder.__path__):
        if file.name in _NO_CNNS:
            continue
        module = importlib.import_module(f"hetlib.models.{file.name}")
        for entry in module.ENTRIES:
            if entry.name in found:
                raise ValueError(f"two CNNs have the name {entry.name!r}; rename one.")
            found[entry.name] = entry
    return found


_ENTRIES = _collect()

# Networks, and the norms that each offers (the first is the default).
MODELS: Mapping[str, tuple[str, ...]] = {name: entry.norms for name, entry in _ENTRIES.items()}


def build_model(
    name: str,
    *,
    bands: int,
    classes: int,
    size: int,
    seed: int = 0,
    norm: str | None = None,
) -> nn.Module:
    """Build a CNN of `MODELS` with random weights.

    The caller's random state stays as it was.

    Args:
        name: One of `MODELS`.
        bands: Channels of the images.
        classes: Outputs.
        size: Pixels of a side: at least 16, or 1 for the spectral networks.
        seed: The same gives the same weights on every replica.
        norm: Where the network offers it: ``"group"``, or ``"batch"``: a replica's outputs depend
            on which samples share its local batch. ``"pooled"`` is the same, with running
            statistics pooled by `train`; ``"balanced"`` takes the global batch's, once
            `convert_batchnorm` has named the replicas. None is the network's default.

    Returns:
        A network from ``(n, bands, size, size)`` to ``(n, classes)``.

    Raises:
        ValueError: There is no such network, norm or size.

    Example:
        >>> model = build_model("resnet18", bands=13, classes=10, size=64, norm="group")
    """
    if name not in MODELS:
        raise ValueError(f"`name` is {name!r}; known models are {sorted(MODELS)}.")
    if norm is not None and norm not in MODELS[name]:
        raise ValueError(f"`norm` is {norm!r}; {name} offers {MODELS[name] or 'no choice'}.")
    entry = _ENTRIES[name]
    if size < entry.least_size:
        raise ValueError(
            f"`size` is {size}; images must be at least {entry.least_size} pixels wide for {name}."
        )
    # drawn on the CPU, also where torch's default is a GPU, whose random state stays
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        model = entry.build(bands=bands, classes=classes, size=size, norm=norm)
    if norm == "balanced":
        return convert_batchnorm(model, ALONE)
    return model
